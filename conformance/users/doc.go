// Package users runs real processes of several users, and processes that are cut off from something:
// from the network, from space, from permissions. It has no exported API.
package users
