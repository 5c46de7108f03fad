// Package apacheconf knows the configuration of the Apache behind: which hosts and roots it has, and where its answers
// depend on the client.
//
//	process that listens ─▶ command ─▶ -t -D DUMP_… ─▶ tree of directives ─▶ hosts, mappings, scopes, agents
//
// It does not imitate Apache's parser: Apache itself is run with -t, which reads the configuration and ends, and is
// told to print the tree that it made of it (mod_info's DUMP_CONFIG), with includes, macros, definitions and <IfModule>
// resolved. Nothing is changed by that.
//
// What a directive means for us is judged by tables (harmless.go, judge.go). One that is in none of them may depend on
// the client: its scope is doubtful, and Apache's. Where a scope can't be told exactly, the larger one is taken.
//
// Begin reading at Read (read.go); what is asked of the result is in match.go, coding.go (Accept-Encoding) and vhosts.go (which server answers).
package apacheconf
