package precondition

import "time"

// badDate is Apache's time of a date that it does not read. The comparisons go on with it.
const badDate = 0

// readDate returns the time of an HTTP date in seconds since 1970 as Apache reads it, badDate if it does not. It is more patient
// than RFC 9110, 5.6.7: nobody looks at the day of the week, nor at what follows the time of day (apr_date_parse_http).
// Digits are '#', a digit or a blank '~', letters 'A' and 'a', and '*' is all that follows.
func readDate(b []byte) int64 {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	k := 0
	for k < len(b) && b[k] != ' ' {
		k++
	}
	if k == len(b) {
		return badDate
	}
	b = b[k+1:] // behind the day of the week
	switch {
	case like(b, "## Aaa #### ##:##:## *"): // RFC 9110's own, and RFC 1123's
		return moment(number(b[7:11]), b[3:6], number(b[0:2]), b[12:])
	case like(b, "##-Aaa-## ##:##:## *"): // RFC 850
		year := 1900 + number(b[7:9])
		if year < 1970 {
			year += 100
		}
		return moment(year, b[3:6], number(b[0:2]), b[10:])
	case like(b, "Aaa ~# ##:##:## ####*"): // asctime
		return moment(number(b[16:20]), b[0:3], number(b[4:6]), b[7:])
	case like(b, "# Aaa #### ##:##:## *"):
		return moment(number(b[6:10]), b[2:5], number(b[0:1]), b[11:])
	}
	return badDate
}

// like reports whether b has the form of mask.
func like(b []byte, mask string) bool {
	for k := range len(mask) {
		if mask[k] == '*' {
			return true
		}
		if k == len(b) {
			return false
		}
		c := b[k]
		ok := c == mask[k]
		switch mask[k] {
		case '#':
			ok = '0' <= c && c <= '9'
		case '~':
			ok = c == ' ' || '0' <= c && c <= '9'
		case 'A':
			ok = 'A' <= c && c <= 'Z'
		case 'a':
			ok = 'a' <= c && c <= 'z'
		}
		if !ok {
			return false
		}
	}
	return len(b) == len(mask)
}

// number reads digits, of which the first may be a blank.
func number(b []byte) (n int) {
	for _, c := range b {
		if c != ' ' {
			n = n*10 + int(c-'0')
		}
	}
	return n
}

const monthNames = "JanFebMarAprMayJunJulAugSepOctNovDec"

// moment returns the time of a date and of a time of day, badDate if there is no such time.
func moment(year int, name []byte, day int, clock []byte) int64 {
	month := 0
	for k := 0; k < len(monthNames); k += 3 {
		if string(name) == monthNames[k:k+3] {
			month = k/3 + 1
		}
	}
	hour, minute, sec := number(clock[0:2]), number(clock[3:5]), number(clock[6:8])
	if month == 0 || hour > 23 || minute > 59 || sec > 61 { // 61: there were two leap seconds in one minute once, on paper
		return badDate
	}
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if t.Day() != day { // such as 31 February
		return badDate
	}
	return max(badDate, t.Unix()+int64(hour*3600+minute*60+sec))
}
