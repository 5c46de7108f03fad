package netsim

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// Response is an HTTP response as package net/http reads it.
type Response struct {
	*http.Response
	Body []byte
}

// FromKernel reports whether the kernel's server has made it.
func (r *Response) FromKernel() bool { return r.Header.Get("Server") == "kernel" }

// Responses splits a stream into the responses to requests of the given methods, and returns what is behind the
// last that is complete. A response that is not complete is no error; one that makes no sense is.
func Responses(stream []byte, methods ...string) (list []Response, rest []byte, err error) {
	for _, method := range methods {
		if !bytes.Contains(stream, []byte("\r\n\r\n")) {
			return list, stream, nil
		}
		source := bytes.NewReader(stream)
		reader := bufio.NewReader(source)
		r, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			return list, stream, fmt.Errorf("response %d: %w", len(list), err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return list, stream, nil
		}
		list = append(list, Response{r, body})
		stream = stream[len(stream)-source.Len()-reader.Buffered():]
	}
	return list, stream, nil
}
