// Chat server on Go's net package: chat PORT
package main

import (
	"bytes"
	"log"
	"net"
	"os"
	"sync"
)

const (
	lineMax   = 1024
	unsentMax = 1024 * 1024
)

type member struct {
	conn    net.Conn
	pending []byte // what the writer takes next
	writing int    // the size of what the writer is sending
	wake    *sync.Cond
	left    bool
}

var (
	mu      sync.Mutex // guards everything
	members = map[*member]struct{}{}
)

func broadcast(line []byte) {
	mu.Lock()
	defer mu.Unlock()
	for m := range members {
		if m.writing+len(m.pending)+len(line) > unsentMax {
			leave(m)
			continue
		}
		m.pending = append(m.pending, line...)
		m.wake.Signal()
	}
}

// leave ends both goroutines of m. The caller holds mu.
func leave(m *member) {
	delete(members, m)
	m.left = true
	m.wake.Signal()
	m.conn.Close()
}

func read(m *member) {
	defer func() {
		mu.Lock()
		leave(m)
		mu.Unlock()
	}()
	buffer := make([]byte, 16*1024)
	rest := 0 // the size of the unfinished line in the buffer
	for {
		n, err := m.conn.Read(buffer[rest:])
		if err != nil {
			return
		}
		lines := buffer[:rest+n]
		for end := bytes.IndexByte(lines, '\n'); end >= 0; end = bytes.IndexByte(lines, '\n') {
			if end > lineMax {
				return
			}
			broadcast(lines[:end+1])
			lines = lines[end+1:]
		}
		if len(lines) > lineMax {
			return
		}
		rest = copy(buffer, lines)
	}
}

// write sends all that is pending at once; what comes meanwhile waits in a second buffer.
func write(m *member) {
	var batch []byte
	for {
		mu.Lock()
		m.writing = 0
		for len(m.pending) == 0 && !m.left {
			m.wake.Wait()
		}
		if m.left {
			mu.Unlock()
			return
		}
		batch, m.pending = m.pending, batch[:0]
		m.writing = len(batch)
		mu.Unlock()
		if _, err := m.conn.Write(batch); err != nil {
			m.conn.Close() // so that the reader ends, too
			return
		}
	}
}

func main() {
	// The net package sets SO_REUSEADDR, TCP_NODELAY, and net.core.somaxconn (4096) as the backlog.
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Args[len(os.Args)-1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			continue
		}
		m := &member{conn: conn, wake: sync.NewCond(&mu)}
		mu.Lock()
		members[m] = struct{}{}
		mu.Unlock()
		go read(m)
		go write(m)
	}
}
