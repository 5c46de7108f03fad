package netsim

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
)

// Response is an HTTP response as package net/http reads it, with its body, which is a part of the stream.
type Response struct {
	*http.Response
	Body []byte
}

// FromKernel reports whether the kernel's server has made it.
func (r *Response) FromKernel() bool { return r.Header.Get("Server") == "kernel" }

// Answers splits a stream that grows into responses. The zero value is ready for its beginning.
type Answers struct {
	at   int // where the next response begins
	need int // how long the stream must be to go on, or 0 if that is not known
	head *http.Response
	body int // where its body begins
}

// Next returns the next response in stream, of which a beginning was seen before, to a request of the given
// method. It returns nil if the response is not complete yet, and an error if it makes no sense.
func (a *Answers) Next(stream []byte, method string) (*Response, error) {
	if a.head == nil {
		end := bytes.Index(stream[a.at:], []byte("\r\n\r\n"))
		if end < 0 {
			return nil, nil
		}
		a.body = a.at + end + 4
		head, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(stream[a.at:a.body])), &http.Request{Method: method})
		if err != nil {
			return nil, fmt.Errorf("response at %d: %w", a.at, err)
		}
		a.need = a.body
		if method != http.MethodHead {
			if head.ContentLength < 0 {
				return nil, fmt.Errorf("response at %d has no length", a.at)
			}
			a.need += int(head.ContentLength)
		}
		a.head = head
	}
	if len(stream) < a.need {
		return nil, nil
	}
	r := &Response{a.head, stream[a.body:a.need]}
	a.at, a.head = a.need, nil
	return r, nil
}

// Responses splits a stream into the responses to requests of the given methods, and returns what is behind the
// last that is complete.
func Responses(stream []byte, methods ...string) (list []*Response, rest []byte, err error) {
	var a Answers
	for _, method := range methods {
		r, err := a.Next(stream, method)
		if err != nil || r == nil {
			return list, stream[a.at:], err
		}
		list = append(list, r)
	}
	return list, stream[a.at:], nil
}
