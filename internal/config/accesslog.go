package config

import (
	"fmt"
	"strings"

	"github.com/xhttpd/xhttpd/internal/accesslog"
)

// AccessLog are the settings of the access log. There is none without a file.
type AccessLog struct {
	File       string `name:"access-log" placeholder:"FILE" help:"Append a line for each response that is answered from memory. It may be the server's own log, whole lines being appended at once. Opened anew on SIGUSR1 and SIGHUP, and when another file has the name. Without it these requests are in no log: the server behind does not see them."`
	Format     string `name:"access-log-format" default:"combined" help:"common, combined, vhost_combined as Debian's Apache has them, json, or a LogFormat of Apache."`
	ServerName string `name:"server-name" placeholder:"NAME" help:"What %v means in the format where Apache's configuration, which says it, can't be read. Without it, this machine's name."`
}

func (a *AccessLog) validate() error {
	if _, err := accesslog.ParseFormat(a.Format); err != nil {
		return fmt.Errorf("--access-log-format: %w", err)
	}
	if strings.ContainsAny(a.ServerName, "\r\n") {
		return fmt.Errorf("--server-name %q: give one name", a.ServerName)
	}
	return nil
}
