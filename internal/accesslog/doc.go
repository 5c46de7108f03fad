// Package accesslog writes a line for each response that a loop has given, as Apache 2.4 would have written it with the same
// LogFormat (mod_log_config, mod_logio), or as JSON.
//
//	hits.Ring ─▶ join begin and end ─▶ Format ─▶ file, appended to in whole lines
//	               ⋮ one for each loop                ▲ opened anew by signal, or when another file has its name
//
// It refuses: formats with anything in them that only Apache knows, by an error at the start; and to wait for a disk:
// lines that cannot be written are dropped and counted.
//
// Begin reading at Log (log.go); formats are in format.go.
package accesslog
