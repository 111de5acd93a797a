package fsx

// Replace with an FS that the test can make fail.
var ReplaceIn = replace
