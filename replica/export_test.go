package replica

var (
	RemoveJournalsIn = removeJournalsIn
	Repeats          = repeats
)
