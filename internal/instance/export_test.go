package instance

var (
	BootTime      = bootTime
	StartTick     = startTick
	FirstLine     = firstLine
	CleanHostname = cleanHostname
	FormatProcess = formatProcess
)
