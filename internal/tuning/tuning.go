package tuning

// LogInline is the option Inline of copier/logwriter; 0 means its default.
var LogInline int

// LogPackSize is the option PackSize of copier/logwriter; 0 means its default.
var LogPackSize int
