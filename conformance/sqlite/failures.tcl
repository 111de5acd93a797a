# Prints what failed in a run of testrunner.tcl, from its database: script and check.
sqlite3 db [lindex $argv 0] -readonly 1
set all {}
db eval {SELECT displayname, output FROM jobs WHERE state!='done' OR nerr>0} {
  set script [file tail $displayname]
  set names {}
  foreach line [split $output \n] {
    if {[regexp {^!Failures on these tests: (.*)$} $line -> list]} { lappend names {*}$list }
  }
  if {$names eq {}} { lappend all "$script (did not finish)" }
  foreach name $names { lappend all "$script $name" }
}
foreach line [lsort -unique $all] { puts $line }
db eval {SELECT count(*) AS scripts, sum(ntest) AS checks, sum(nerr) AS errors FROM jobs} {
  puts stderr "$scripts scripts, $checks checks, $errors errors"
}
