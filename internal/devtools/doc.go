// Package devtools pins the versions of the programs that check this project,
// in a module of its own so that no user of Boule downloads them.
package devtools
