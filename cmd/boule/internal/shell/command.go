package shell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A command is one dot command.
type command struct {
	name     string // without the dot
	aliases  []string
	usage    string // its arguments
	help     string
	min, max int // how many arguments; a negative max is any
	run      func(s *Shell, ctx context.Context, args []string) error
}

func commands() []command {
	return []command{
		{"bail", nil, "on|off", "stop at the first error", 1, 1, setSwitch(func(s *Shell, on bool) { s.bail = on })},
		{"changes", nil, "on|off", "print how many rows each statement changed", 1, 1, setSwitch(func(s *Shell, on bool) { s.changes = on })},
		{"databases", nil, "", "list the attached databases", 0, 0, (*Shell).databases},
		{"dump", nil, "[TABLE...]", "print the database, or some tables, as SQL", 0, -1, (*Shell).dump},
		{"echo", nil, "on|off", "print each statement before it runs", 1, 1, setSwitch(func(s *Shell, on bool) { s.echo = on })},
		{"headers", []string{"header"}, "on|off", "print the names of columns", 1, 1, setSwitch(func(s *Shell, on bool) {
			s.headers = -1
			if on {
				s.headers = 1
			}
		})},
		{"help", nil, "[COMMAND]", "list the commands", 0, 1, (*Shell).help},
		{"import", nil, "[--csv] [--skip N] FILE TABLE", "insert the rows of a CSV file, making the table from the first row if it does not exist", 2, -1, (*Shell).importFile},
		{"indexes", []string{"indices"}, "[TABLE]", "list the indexes", 0, 1, (*Shell).indexes},
		{"mode", nil, strings.Join(modes, "|"), "how to print rows", 0, 1, (*Shell).modeCommand},
		{"nullvalue", nil, "TEXT", "what to print for NULL", 1, 1, func(s *Shell, _ context.Context, args []string) error {
			s.null = args[0]
			return nil
		}},
		{"print", nil, "TEXT...", "print the text", 0, -1, func(s *Shell, _ context.Context, args []string) error {
			s.out.str(strings.Join(args, " ") + "\n")
			return nil
		}},
		{"quit", []string{"exit"}, "", "leave", 0, 0, func(s *Shell, _ context.Context, _ []string) error {
			s.quit = true
			return nil
		}},
		{"read", nil, "FILE", "run the SQL and the commands in a file", 1, 1, (*Shell).read},
		{"schema", nil, "[PATTERN]", "print the statements that made tables, indexes, views and triggers", 0, 1, (*Shell).schema},
		{"separator", nil, "COLUMN [ROW]", "what to print between values and after rows, in modes list and csv", 1, 2, (*Shell).separator},
		{"tables", nil, "[PATTERN]", "list the tables and views", 0, 1, (*Shell).tables},
		{"timeout", nil, "MS", "how long to wait for a locked database", 1, 1, (*Shell).timeout},
	}
}

// runCommand runs a dot command.
func (s *Shell) runCommand(ctx context.Context, src source, it item) (err error) {
	defer recoverMemory(&err)
	args, err := splitArgs(strings.TrimSpace(it.text)[1:])
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return errors.New(`a dot without a command; ".help" lists the commands`)
	}
	cmd, ok := findCommand(args[0])
	if !ok {
		return fmt.Errorf(`unknown command ".%s"; ".help" lists the commands`, args[0])
	}
	args = args[1:]
	if len(args) < cmd.min || cmd.max >= 0 && len(args) > cmd.max {
		return usageError(cmd)
	}
	if cmd.name != "read" {
		err = cmd.run(s, ctx, args)
	} else if err = cmd.run(s, ctx, args); errors.Is(err, errStop) {
		return err
	}
	if errors.Is(err, errUsage) {
		return usageError(cmd)
	}
	if err != nil {
		err = fmt.Errorf(".%s: %w", cmd.name, err)
	}
	return err
}

var errUsage = errors.New("shell: wrong arguments")

func usageError(cmd command) error {
	return fmt.Errorf("usage: %s", cmd.synopsis())
}

func (c command) synopsis() string { return strings.TrimSpace("." + c.name + " " + c.usage) }

func findCommand(name string) (command, bool) {
	for _, c := range commands() {
		for _, n := range append([]string{c.name}, c.aliases...) {
			if n == name {
				return c, true
			}
		}
	}
	return command{}, false
}

// splitArgs cuts a line at blanks. 'x' and "x" are one argument each; in "x" a
// backslash escapes as in C.
func splitArgs(line string) (args []string, err error) {
	for {
		line = strings.TrimLeft(line, " \t\r\n\v\f")
		switch {
		case line == "":
			return args, nil
		case line[0] == '\'':
			i := strings.IndexByte(line[1:], '\'')
			if i < 0 {
				return nil, errors.New("missing closing '")
			}
			args = append(args, line[1:1+i])
			line = line[i+2:]
		case line[0] == '"':
			i := 1
			for i < len(line) && line[i] != '"' {
				if line[i] == '\\' {
					i++
				}
				i++
			}
			if i >= len(line) {
				return nil, errors.New(`missing closing "`)
			}
			args = append(args, unescape(line[1:i]))
			line = line[i+1:]
		default:
			i := strings.IndexAny(line, " \t\r\n\v\f")
			if i < 0 {
				i = len(line)
			}
			args = append(args, line[:i])
			line = line[i:]
		}
	}
}

// unescape resolves \a \b \f \n \r \t \v, \xHH and octal \NNN; any other
// character after a backslash stands for itself.
func unescape(text string) string {
	const letters, values = "abfnrtv", "\a\b\f\n\r\t\v"
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		c := text[i]
		if k := strings.IndexByte(letters, c); k >= 0 {
			c = values[k]
		} else if v, n := leadingNumber(text[i:], 3, 8); n > 0 {
			c = v
			i += n - 1
		} else if v, n := leadingNumber(text[i+1:], 2, 16); c == 'x' && n > 0 {
			c = v
			i += n
		}
		b.WriteByte(c)
	}
	return b.String()
}

// leadingNumber parses the up to limit digits that text starts with.
func leadingNumber(text string, limit, base int) (v byte, n int) {
	for n < min(limit, len(text)) {
		u, err := strconv.ParseUint(text[:n+1], base, 8)
		if err != nil {
			break
		}
		v = byte(u)
		n++
	}
	return v, n
}

// setSwitch makes a command of a setting that is on or off.
func setSwitch(set func(s *Shell, on bool)) func(*Shell, context.Context, []string) error {
	return func(s *Shell, _ context.Context, args []string) error {
		switch strings.ToLower(args[0]) {
		case "on", "yes", "true", "1":
			set(s, true)
		case "off", "no", "false", "0":
			set(s, false)
		default:
			return errUsage
		}
		return nil
	}
}

func (s *Shell) help(_ context.Context, args []string) error {
	if len(args) == 1 {
		cmd, ok := findCommand(strings.TrimPrefix(args[0], "."))
		if !ok {
			return fmt.Errorf("no command .%s", strings.TrimPrefix(args[0], "."))
		}
		s.out.printf("%s\n    %s\n", cmd.synopsis(), cmd.help)
		return nil
	}
	for _, c := range commands() {
		s.out.printf("%-38s %s\n", c.synopsis(), c.help)
	}
	return nil
}

func (s *Shell) modeCommand(_ context.Context, args []string) error {
	if len(args) == 0 {
		s.out.printf("current output mode: %s\n", s.mode)
		return nil
	}
	return s.setMode(args[0])
}

func (s *Shell) separator(_ context.Context, args []string) error {
	s.colSep = unescape(args[0])
	if len(args) == 2 {
		s.rowSep = unescape(args[1])
	}
	return nil
}

func (s *Shell) timeout(_ context.Context, args []string) error {
	ms, err := strconv.ParseInt(args[0], 10, 32)
	if err != nil {
		return errUsage
	}
	return s.conn.BusyTimeout(time.Duration(max(0, ms)) * time.Millisecond)
}

const maxDepth = 25 // of .read in .read

func (s *Shell) read(ctx context.Context, args []string) error {
	if s.depth >= maxDepth {
		return fmt.Errorf("%s: more than %d files read each other", args[0], maxDepth)
	}
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	s.depth++
	defer func() { s.depth-- }()
	return s.runText(ctx, source{name: filepath.Base(args[0])}, f)
}
