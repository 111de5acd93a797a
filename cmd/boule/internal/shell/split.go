package shell

import "strings"

// itemKind tells SQL from dot commands.
type itemKind uint8

const (
	itemSQL itemKind = iota
	itemDot
)

// An item is one thing to run: a statement with its semicolon, or a dot
// command with its dot. Text that SQLite would compile to several statements
// never comes as part of one: an item may hold more than one statement only
// after a CREATE TRIGGER that has no end.
type item struct {
	kind itemKind
	text string
	line int // where it starts, from 1
}

// A splitter cuts a stream of SQL and dot commands into items. Text may be fed
// in pieces that end anywhere. It follows sqlite3_complete: a statement ends at
// a semicolon outside of literals and comments, a trigger at "; END ;".
//
// Unlike sqlite3_complete it knows the variables that SQLite takes over from
// Tcl, like $a(;).
type splitter struct {
	buf   []byte // from the start of the pending item
	pos   int    // how much of buf is scanned
	line  int    // line breaks in all text before buf[pos]
	first int    // line at the start of the item

	lex   lexState
	quote byte // what ends a lexQuote
	word  [9]byte
	wlen  int

	phase phase
	begun bool // the item has begun: not all blanks and comments so far
	inner bool // something stands before on this line: no dot command
}

type lexState uint8

const (
	lexPlain     lexState = iota
	lexWord               // in a keyword, identifier or number
	lexQuote              // in a literal or a quoted identifier
	lexMinus              // after -
	lexSlash              // after /
	lexLine               // in a -- comment
	lexBlock              // in a /* comment
	lexBlockStar          // after * in such a comment
	lexVar                // in a variable
	lexVarEmpty           // after its first character
	lexVarParen           // in its parentheses
	lexDot                // in a dot command
	lexHash               // in a line that starts with #
)

// phase is what has been seen of a statement.
type phase uint8

const (
	phaseStart   phase = iota
	phasePlain         // can't become CREATE TRIGGER
	phaseExplain       // EXPLAIN
	phaseCreate        // CREATE [TEMP]
	phaseBody          // CREATE TRIGGER…
	phaseSemi          // …;
	phaseEnd           // …; END
)

// next is the phase after a word or another token that is no semicolon.
func (p phase) next(word string) phase {
	switch p {
	case phaseStart, phaseExplain:
		switch {
		case strings.EqualFold(word, "CREATE"):
			return phaseCreate
		case p == phaseStart && strings.EqualFold(word, "EXPLAIN"), p == phaseExplain && !strings.EqualFold(word, "EXPLAIN"):
			return phaseExplain // also of EXPLAIN QUERY PLAN
		}
		return phasePlain
	case phaseCreate:
		switch {
		case strings.EqualFold(word, "TEMP"), strings.EqualFold(word, "TEMPORARY"):
			return phaseCreate
		case strings.EqualFold(word, "TRIGGER"):
			return phaseBody
		}
		return phasePlain
	case phaseSemi:
		if strings.EqualFold(word, "END") {
			return phaseEnd
		}
		return phaseBody
	case phaseBody, phaseEnd:
		return phaseBody
	}
	return phasePlain
}

// feed appends text.
func (s *splitter) feed(p []byte) { s.buf = append(s.buf, p...) }

// reset forgets what is pending.
func (s *splitter) reset() {
	*s = splitter{buf: s.buf[:0], line: s.line}
}

// pending tells whether an item has begun and is not complete.
func (s *splitter) pending() bool {
	return s.begun || s.lex == lexBlock || s.lex == lexBlockStar
}

// next returns the next complete item.
func (s *splitter) next() (item, bool) {
	for s.pos < len(s.buf) {
		c := s.buf[s.pos]
		if s.step(c) {
			continue // c is looked at again
		}
		s.pos++
		if c == '\n' {
			s.line++
		}
		switch {
		case s.lex == lexPlain && c == ';' && s.phase == phaseStart:
			if it, ok := s.take(itemSQL); ok {
				return it, true
			}
		case c == '\n' && s.lex == lexDot:
			return s.take(itemDot)
		case c == '\n' && s.lex == lexHash:
			s.take(itemDot)
		case !s.begun && (s.lex == lexPlain || s.lex == lexLine || s.lex == lexBlock):
			s.inner = s.inner && c != '\n'
			s.drop()
		}
	}
	return item{}, false
}

// finish returns what is left at the end of the text.
func (s *splitter) finish() (item, bool) {
	switch s.lex {
	case lexDot:
		return s.take(itemDot)
	case lexHash:
		return item{}, false
	case lexMinus, lexSlash:
		s.begin()
	}
	return s.take(itemSQL)
}

// begin notes that the item starts with the token at pos, or just before it.
func (s *splitter) begin() {
	if !s.begun {
		s.begun, s.inner = true, true
		s.first = s.line + 1
	}
}

// drop removes what is scanned.
func (s *splitter) drop() {
	s.buf = s.buf[s.pos:]
	s.pos = 0
}

// take removes what is scanned and returns it, if it is more than blanks.
func (s *splitter) take(kind itemKind) (item, bool) {
	ok := s.begun
	var it item
	if ok {
		it = item{kind: kind, text: string(s.buf[:s.pos]), line: s.first}
	}
	s.inner = s.pos > 0 && s.buf[s.pos-1] != '\n'
	s.drop()
	s.lex, s.phase, s.begun = lexPlain, phaseStart, false
	return it, ok
}

// step looks at one byte. It returns true if that byte only ended what was
// before and is to be looked at again.
func (s *splitter) step(c byte) (again bool) {
	switch s.lex {
	case lexPlain:
		s.plain(c)
	case lexWord:
		if idChar(c) {
			if s.wlen < len(s.word) {
				s.word[s.wlen] = c
			}
			s.wlen++
			return false
		}
		word := ""
		if s.wlen <= len(s.word) {
			word = string(s.word[:s.wlen])
		}
		s.phase = s.phase.next(word)
		s.lex = lexPlain
		return true
	case lexQuote:
		if c == s.quote {
			s.lex = lexPlain
		}
	case lexMinus:
		if c == '-' {
			s.comment(lexLine)
			return false
		}
		return s.token()
	case lexSlash:
		if c == '*' {
			s.comment(lexBlock)
			return false
		}
		return s.token()
	case lexLine:
		if c == '\n' {
			s.lex = lexPlain
		}
	case lexBlock:
		if c == '*' {
			s.lex = lexBlockStar
		}
	case lexBlockStar:
		switch c {
		case '/':
			s.lex, s.inner = lexPlain, true
		case '*':
		default:
			s.lex = lexBlock
		}
	case lexVarEmpty, lexVar:
		switch {
		case idChar(c), c == ':' && s.lex == lexVar:
			s.lex = lexVar
		case c == '(' && s.lex == lexVar:
			s.lex = lexVarParen
		default:
			s.lex = lexPlain
			return true
		}
	case lexVarParen:
		switch {
		case c == ')':
			s.lex = lexPlain
		case isSpace(c):
			s.lex = lexPlain
			return true
		}
	case lexDot, lexHash:
	}
	return false
}

// token ends the single character before as a token of its own.
func (s *splitter) token() (again bool) {
	s.begin()
	s.phase = s.phase.next("")
	s.lex = lexPlain
	return true
}

// comment starts a comment of two characters; the first is in buf, too.
func (s *splitter) comment(lex lexState) {
	s.inner = true
	s.lex = lex
}

// plain looks at the first byte of something.
func (s *splitter) plain(c byte) {
	switch {
	case isSpace(c):
		return
	case c == '-':
		s.lex = lexMinus
		return
	case c == '/':
		s.lex = lexSlash
		return
	case c == ';':
		switch s.phase {
		case phaseBody, phaseSemi:
			s.phase = phaseSemi
		default:
			s.phase = phaseStart
		}
		return
	case !s.begun && !s.inner && c == '.':
		s.begin()
		s.lex = lexDot
		return
	case !s.begun && !s.inner && c == '#':
		s.lex = lexHash
		return
	}
	s.begin()
	switch {
	case c == '\'', c == '"', c == '`':
		s.lex, s.quote = lexQuote, c
	case c == '[':
		s.lex, s.quote = lexQuote, ']'
	case c == '$', c == '@', c == ':', c == '#':
		s.lex = lexVarEmpty
	case idChar(c):
		s.lex, s.wlen = lexWord, 1
		s.word[0] = c
		return // its phase is known at its end
	}
	s.phase = s.phase.next("")
}

// isSpace is what SQLite takes for a blank.
func isSpace(c byte) bool {
	return c == ' ' || '\t' <= c && c <= '\r' && c != '\v'
}

func idChar(c byte) bool {
	return c >= 0x80 || c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}
