package logrep

// Ranges divides frames into what is fetched at once.
var Ranges = ranges

// MaxRange is how many bytes are fetched at once.
const MaxRange = maxRange
