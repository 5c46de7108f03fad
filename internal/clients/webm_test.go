package clients

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
)

// The clip is a film of 60 seconds, of which each shows its own number: eight bands, white for 1 and black for 0, the least bit on
// the left. Between its seconds there is much that means nothing, so that who wants one has to ask for its place.
const (
	clipSeconds = 60
	clipRate    = 5       // pictures in a second
	clipPadding = 400_000 // octets behind each second
	clipWidth   = 128
	clipHeight  = 32
)

// encode draws and compresses the clip's pictures, in VP8 by the browser's own encoder. Its value is a list of base64.
const encode = `(async () => {
	const seconds = 60, rate = 5, width = 128, height = 32, out = [];
	const encoder = new VideoEncoder({error: e => { throw e }, output: chunk => {
		const octets = new Uint8Array(chunk.byteLength);
		chunk.copyTo(octets);
		out.push(btoa(String.fromCharCode(...octets)));
	}});
	encoder.configure({codec: "vp8", width, height, bitrate: 1e6, framerate: rate});
	const canvas = new OffscreenCanvas(width, height), pen = canvas.getContext("2d");
	for (let k = 0; k < seconds * rate; k++) {
		for (let bit = 0; bit < 8; bit++) {
			pen.fillStyle = Math.floor(k / rate) >> bit & 1 ? "white" : "black";
			pen.fillRect(bit * 16, 0, 16, height);
		}
		const frame = new VideoFrame(canvas, {timestamp: k * 1e6 / rate});
		encoder.encode(frame, {keyFrame: true});
		frame.close();
	}
	await encoder.flush();
	return out;
})()`

// clip makes the film. The encoder is only for pages from a place that is secure, as a local file is.
func (b *browser) clip() []byte {
	b.Helper()
	page := filepath.Join(b.dir, "encoder.html")
	b.must(os.WriteFile(page, []byte("<!DOCTYPE html><title>encoder</title>"), 0o600))
	b.visit("file://" + page)
	pictures := evaluate[[]string](b, encode)
	if len(pictures) != clipSeconds*clipRate {
		b.Fatalf("the browser's encoder made %d pictures, want %d", len(pictures), clipSeconds*clipRate)
	}
	decoded := make([][]byte, len(pictures))
	for k := range pictures {
		var err error
		decoded[k], err = base64.StdEncoding.DecodeString(pictures[k])
		b.must(err)
	}
	return webm(decoded)
}

// element is one of EBML (RFC 8794), with a length of eight octets.
func element(id uint32, content ...[]byte) []byte {
	body := bytes.Join(content, nil)
	var head []byte
	for shift := 24; shift >= 0; shift -= 8 {
		if id>>shift != 0 {
			head = append(head, byte(id>>shift))
		}
	}
	head = binary.BigEndian.AppendUint64(head, 1<<56|uint64(len(body)))
	return append(head, body...)
}

func number(id uint32, n int) []byte {
	return element(id, binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// webm makes a film of pictures in VP8, each whole in itself: a cluster for each second, with a cue that says where it is. The numbers
// are those of RFC 9559.
func webm(pictures [][]byte) []byte {
	header := element(0x1A45DFA3, number(0x4286, 1), number(0x42F7, 1), number(0x42F2, 4), number(0x42F3, 8), element(0x4282, []byte("webm")),
		number(0x4287, 4), number(0x4285, 2))
	info := element(0x1549A966, number(0x2AD7B1, 1_000_000), element(0x4489, binary.BigEndian.AppendUint64(nil, math.Float64bits(clipSeconds*1000))),
		element(0x4D80, []byte("test")), element(0x5741, []byte("test")))
	tracks := element(0x1654AE6B, element(0xAE, number(0xD7, 1), number(0x73C5, 1), number(0x83, 1), element(0x86, []byte("V_VP8")),
		element(0xE0, number(0xB0, clipWidth), number(0xBA, clipHeight))))
	var clusters [][]byte
	for second := range clipSeconds {
		blocks := [][]byte{number(0xE7, second*1000)}
		for k := range clipRate {
			at := k * 1000 / clipRate
			blocks = append(blocks, element(0xA3, []byte{0x81, byte(at >> 8), byte(at), 0x80}, pictures[second*clipRate+k]))
		}
		clusters = append(clusters, append(element(0x1F43B675, blocks...), element(0xEC, content(clipPadding))...))
	}
	cues := func(at int) []byte { // their length does not depend on at
		var points [][]byte
		for second, cluster := range clusters {
			points = append(points, element(0xBB, number(0xB3, second*1000), element(0xB7, number(0xF7, 1), number(0xF1, at))))
			at += len(cluster)
		}
		return element(0x1C53BB6B, points...)
	}
	first := len(info) + len(tracks) + len(cues(0))
	return append(header, element(0x18538067, append([][]byte{info, tracks, cues(first)}, clusters...)...)...)
}
