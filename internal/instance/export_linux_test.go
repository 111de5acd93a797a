package instance

var BootFrom = boot
