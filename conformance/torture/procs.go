//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// A proc is a child process of the runner.
type proc struct {
	spec  spec
	cmd   *exec.Cmd
	stdin io.Closer // closing it asks the child to end
	out   bytes.Buffer
	done  chan struct{} // closed when it has ended
	err   error         // how, after done

	mu     sync.Mutex
	killed bool // by us
}

// start runs this program again as a child.
func (r *round) start(s spec) (*proc, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	p := &proc{spec: s, done: make(chan struct{})}
	p.cmd = exec.Command(exe)
	p.cmd.Env = append(os.Environ(), envChild+"="+string(text))
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for the runner, which ends its children
	log, err := os.OpenFile(filepath.Join(r.dir, "log", s.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Stderr = log
	p.cmd.Stdout = &p.out
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// kill ends the process as a power cut would, and waits for the end.
func (p *proc) kill() {
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// signal sends SIGSTOP, SIGCONT or SIGQUIT.
func (p *proc) signal(s syscall.Signal) {
	_ = p.cmd.Process.Signal(s) // it may have ended
}

// ended says that the process has ended, and how if we did not end it.
func (p *proc) ended() (bool, error) {
	select {
	case <-p.done:
	default:
		return false, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil || p.killed {
		return true, nil
	}
	return true, fmt.Errorf("%s: %w (see its log)", p.spec.Name, p.err)
}

// finish asks the process to end. One that does not within the time is made to say where it
// hangs, in its log.
func (p *proc) finish(patience time.Duration) error {
	p.signal(syscall.SIGCONT)
	_ = p.stdin.Close() // it may have ended
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.signal(syscall.SIGQUIT)
		again := time.NewTimer(5 * time.Second)
		defer again.Stop()
		select {
		case <-p.done:
		case <-again.C:
		}
		p.kill()
		return fmt.Errorf("%s hangs: it was asked to end %v ago (its log says where)", p.spec.Name, patience)
	}
	_, err := p.ended()
	return err
}

// run runs a child to its end.
func (r *round) run(s spec, patience time.Duration) (out string, err error) {
	p, err := r.start(s)
	if err != nil {
		return "", err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		return "", errors.Join(fmt.Errorf("%s takes more than %v", s.Name, patience), p.finish(time.Second))
	}
	_, err = p.ended()
	return p.out.String(), err
}
