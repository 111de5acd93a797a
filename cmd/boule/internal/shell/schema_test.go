package shell_test

import (
	"path/filepath"
	"testing"
)

func TestSchemaCommands(t *testing.T) {
	dir := t.TempDir()
	main, aux := filepath.Join(dir, "main.db"), filepath.Join(dir, "aux.db")
	conn := open(t, main)
	mustRun(t, conn, nil, "CREATE TABLE b(x UNIQUE); CREATE TABLE a(id INTEGER PRIMARY KEY AUTOINCREMENT);"+
		"CREATE INDEX b_x ON b(x); CREATE VIEW v AS SELECT 1 -- it's a\n; CREATE TRIGGER tr AFTER INSERT ON b BEGIN SELECT 1; END;")
	mustRun(t, conn, nil, "ATTACH '"+aux+"' AS aux; CREATE TABLE aux.c(y); CREATE TEMP TABLE d(z); CREATE TEMP VIEW e AS SELECT 1; CREATE INDEX temp.d_z ON d(z)")
	const schemaB = "CREATE TABLE b(x UNIQUE);\nCREATE INDEX b_x ON b(x);\nCREATE TRIGGER tr AFTER INSERT ON b BEGIN SELECT 1; END;\n"
	for command, want := range map[string]string{
		".tables":          "a       aux.c   b       temp.d  temp.e  v     \n",
		".tables B":        "b\n",
		".tables %":        "a       aux.c   b       temp.d  temp.e  v     \n",
		".tables [ab]":     "a  b\n",
		".tables nope":     "",
		".indexes":         "b_x       temp.d_z\n",
		".indexes b":       "b_x\n",
		".indices nothing": "",
		".schema b":        schemaB,
		".schema":          "CREATE TABLE b(x UNIQUE);\nCREATE TABLE a(id INTEGER PRIMARY KEY AUTOINCREMENT);\nCREATE INDEX b_x ON b(x);\nCREATE VIEW v AS SELECT 1 -- it's a\n;\nCREATE TRIGGER tr AFTER INSERT ON b BEGIN SELECT 1; END;\n-- in \"temp\":\nCREATE TEMP TABLE d(z);\nCREATE TEMP VIEW e AS SELECT 1;\nCREATE INDEX d_z ON d(z);\n-- in \"aux\":\nCREATE TABLE c(y);\n",
		".schema nope":     "",
		".databases":       "main: " + main + " r/w\ntemp: \"\" r/w\naux: " + aux + " r/w\n",
	} {
		t.Run(command, func(t *testing.T) {
			diff(t, mustRun(t, conn, nil, command), want)
		})
	}
	t.Run("read-only", func(t *testing.T) {
		ro := open(t, "file:"+main+"?mode=ro")
		diff(t, mustRun(t, ro, nil, ".databases"), "main: "+main+" r/o\n")
	})
}
