package httpwire

import "time"

// DateLen is the length of an IMF-fixdate (RFC 9110, 5.6.7): "Sun, 06 Nov 1994 08:49:37 GMT".
const DateLen = 29

const (
	dayNames   = "SunMonTueWedThuFriSat"
	monthNames = "JanFebMarAprMayJunJulAugSepOctNovDec"
)

// PutDate writes the time of unix, seconds since 1970, as an IMF-fixdate into dst, which must have DateLen octets.
func PutDate(dst []byte, unix int64) {
	days, rest := unix/86400, int(unix%86400)
	if rest < 0 {
		days, rest = days-1, rest+86400
	}
	year, month, day := civil(days)
	hour, minute, sec := rest/3600, rest/60%60, rest%60
	d, m := int((days%7+7+4)%7)*3, (month-1)*3 // 1 January 1970 was a Thursday
	_ = dst[DateLen-1]
	copy(dst, dayNames[d:d+3])
	copy(dst[3:], ", ")
	put2(dst[5:], day)
	dst[7] = ' '
	copy(dst[8:], monthNames[m:m+3])
	dst[11] = ' '
	put2(dst[12:], year/100)
	put2(dst[14:], year%100)
	dst[16] = ' '
	put2(dst[17:], hour)
	dst[19] = ':'
	put2(dst[20:], minute)
	dst[22] = ':'
	put2(dst[23:], sec)
	copy(dst[25:], " GMT")
}

// civil returns the date of a day, counted since 1 January 1970, in the Gregorian calendar. It is much faster than package time,
// which has more to think of; each response has a date. The year begins in March here, so that the leap day is its last, and the
// calendar repeats itself after 400 years of 146,097 days (Hinnant, chrono-Compatible Low-Level Date Algorithms).
func civil(days int64) (year, month, day int) {
	days += 719468 // since 1 March 0000
	era := days / 146097
	if days < 0 {
		era = (days - 146096) / 146097
	}
	n := int(days - era*146097)
	y := (n - n/1460 + n/36524 - n/146096) / 365
	n -= 365*y + y/4 - y/100
	m := (5*n + 2) / 153
	year, month, day = y+int(era)*400, m+3, n-(153*m+2)/5+1
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month, day
}

func put2(dst []byte, v int) { dst[0], dst[1] = '0'+byte(v/10%10), '0'+byte(v%10) }

// ParseDate reads an HTTP date in any of the three formats of RFC 9110, 5.6.7, exactly as written there, and
// returns seconds since 1970. A two-digit year that appears to be more than 50 years after now, also seconds since
// 1970, means the past century.
func ParseDate(b []byte, now int64) (unix int64, ok bool) {
	var f dateFields
	switch {
	case len(b) == DateLen:
		ok = f.imf(b)
	case len(b) == 24:
		ok = f.asctime(b)
	default:
		ok = f.rfc850(b, now)
	}
	if !ok || f.hour > 23 || f.minute > 59 || f.sec > 60 {
		return 0, false
	}
	day := time.Date(f.year, time.Month(f.month), f.day, 0, 0, 0, 0, time.UTC)
	if day.Day() != f.day {
		return 0, false // such as 31 February
	}
	return day.Unix() + int64(f.hour*3600+f.minute*60+f.sec), true
}

type dateFields struct{ year, month, day, hour, minute, sec int }

// imf reads "Sun, 06 Nov 1994 08:49:37 GMT".
func (f *dateFields) imf(b []byte) bool {
	return index3(b, dayNames) >= 0 && string(b[3:5]) == ", " && b[7] == ' ' && b[11] == ' ' && b[16] == ' ' &&
		string(b[25:]) == " GMT" &&
		digits(b[5:7], &f.day) && f.setMonth(b[8:11]) && digits(b[12:16], &f.year) && f.clock(b[17:25])
}

// rfc850 reads "Sunday, 06-Nov-94 08:49:37 GMT".
func (f *dateFields) rfc850(b []byte, now int64) bool {
	k := 0
	for k < len(b) && b[k] != ',' {
		k++
	}
	if index3(b, dayNames) < 0 || !longDay(b[:k]) {
		return false
	}
	b = b[k:]
	if len(b) != 24 || string(b[:2]) != ", " || b[4] != '-' || b[8] != '-' || b[11] != ' ' || string(b[20:]) != " GMT" ||
		!digits(b[2:4], &f.day) || !f.setMonth(b[5:8]) || !digits(b[9:11], &f.year) || !f.clock(b[12:20]) {
		return false
	}
	this := time.Unix(now, 0).UTC().Year()
	f.year += this - this%100
	if f.year > this+50 {
		f.year -= 100
	}
	return true
}

func longDay(b []byte) bool {
	switch string(b) {
	case "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday":
		return true
	}
	return false
}

// asctime reads "Sun Nov  6 08:49:37 1994".
func (f *dateFields) asctime(b []byte) bool {
	day := b[8:10]
	if day[0] == ' ' {
		day = day[1:]
	}
	return index3(b, dayNames) >= 0 && b[3] == ' ' && b[7] == ' ' && b[10] == ' ' && b[19] == ' ' &&
		f.setMonth(b[4:7]) && digits(day, &f.day) && f.clock(b[11:19]) && digits(b[20:24], &f.year)
}

func (f *dateFields) setMonth(b []byte) bool {
	f.month = index3(b, monthNames) + 1
	return f.month > 0
}

func (f *dateFields) clock(b []byte) bool {
	return b[2] == ':' && b[5] == ':' && digits(b[0:2], &f.hour) && digits(b[3:5], &f.minute) && digits(b[6:8], &f.sec)
}

// index3 returns which of the names of three letters b begins with, or -1.
func index3(b []byte, names string) int {
	for k := 0; len(b) >= 3 && k < len(names); k += 3 {
		if string(b[:3]) == names[k:k+3] {
			return k / 3
		}
	}
	return -1
}

func digits(b []byte, v *int) bool {
	*v = 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
		*v = *v*10 + int(c-'0')
	}
	return true
}
