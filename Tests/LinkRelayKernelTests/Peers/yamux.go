// A peer of another make for the multiplexer: hashicorp's yamux, over TCP without TLS, with what a link says on top of it.
//
//	yamux edge PORT COUNT SIZE TUNNELPORT     dials; opens COUNT streams, sends SIZE bytes on each and wants them back
//	yamux uplink PORT                         dials; sends back what comes on every stream
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"

	"github.com/hashicorp/yamux"
)

func main() {
	conn, err := net.Dial("tcp", "127.0.0.1:"+os.Args[2])
	check(err)
	config := yamux.DefaultConfig()
	config.LogOutput = os.Stderr
	if os.Args[1] == "edge" {
		session, err := yamux.Server(conn, config)
		check(err)
		edge(session)
	} else {
		session, err := yamux.Client(conn, config)
		check(err)
		uplink(session)
	}
	fmt.Println("done")
}

func hello() []byte { return append([]byte{1, 0, 10, 0, 0, 0, 0, 0, 0, 0, 5}, "go"...) }

func edge(session *yamux.Session) {
	control, err := session.AcceptStream()
	check(err)
	hear(control)
	_, err = control.Write(hello())
	check(err)
	count, size, port := number(3), number(4), number(5)
	results := make(chan error, count)
	for i := 0; i < count; i++ {
		go func() { results <- ask(session, size, port) }()
	}
	for i := 0; i < count; i++ {
		check(<-results)
	}
	_, err = session.Ping()
	check(err)
	// Who hears the goodbye closes after the last stream: maybe before this returns, which it then calls an error.
	session.GoAway()
	<-session.CloseChan()
}

// Links want streams to come in the order of their numbers, which this yamux does not keep between goroutines.
var opening sync.Mutex

func ask(session *yamux.Session, size int, port int) error {
	opening.Lock()
	stream, err := session.OpenStream()
	opening.Unlock()
	if err != nil {
		return err
	}
	if _, err = stream.Write([]byte{3, 1, byte(port >> 8), byte(port)}); err != nil {
		return err
	}
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(i * 7 >> 3)
	}
	go stream.Write(payload)
	// Not up to the end: this yamux reads nothing more once it closed its own side.
	back := make([]byte, size)
	if _, err = io.ReadFull(stream, back); err != nil {
		return err
	}
	if err = stream.Close(); err != nil {
		return err
	}
	if sha256.Sum256(back) != sha256.Sum256(payload) {
		return fmt.Errorf("other bytes came back than were sent")
	}
	return nil
}

func uplink(session *yamux.Session) {
	control, err := session.OpenStream()
	check(err)
	_, err = control.Write(hello())
	check(err)
	hear(control)
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return
		}
		go func() {
			header := make([]byte, 4)
			if _, err := io.ReadFull(stream, header); err != nil || !bytes.Equal(header[:2], []byte{3, 1}) {
				panic(fmt.Sprint(header, err))
			}
			io.Copy(stream, stream)
			stream.Close()
		}()
	}
}

// Reads one message of the control stream.
func hear(control io.Reader) {
	head := make([]byte, 3)
	_, err := io.ReadFull(control, head)
	check(err)
	_, err = io.ReadFull(control, make([]byte, int(head[1])<<8|int(head[2])))
	check(err)
	if head[0] != 1 {
		panic("no hello")
	}
}

func number(index int) int {
	value, err := strconv.Atoi(os.Args[index])
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
