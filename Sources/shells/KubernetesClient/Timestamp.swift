import Glibc

/// Seconds since 1970 of an RFC 3339 time, its fraction cut off; nil for anything else.
func secondsSince1970(rfc3339 text: String) -> Int64? {
    var rest = Array(text.utf8)[...]
    func number(_ digits: Int) -> Int? {
        let part = rest.prefix(digits)
        guard part.count == digits, part.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
        rest = rest.dropFirst(digits)
        return part.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }
    func sign(_ allowed: String) -> UInt8? {
        guard let first = rest.first, allowed.utf8.contains(first) else { return nil }
        rest = rest.dropFirst()
        return first
    }
    guard let year = number(4), sign("-") != nil, let month = number(2), (1...12).contains(month), sign("-") != nil,
        let day = number(2), (1...31).contains(day), sign("Tt ") != nil,
        let hour = number(2), hour < 24, sign(":") != nil, let minute = number(2), minute < 60, sign(":") != nil,
        let second = number(2), second <= 60
    else { return nil }
    if sign(".") != nil {
        let fraction = rest.prefix { $0 >= 0x30 && $0 <= 0x39 }
        guard !fraction.isEmpty else { return nil }
        rest = rest.dropFirst(fraction.count)
    }
    var offset = 0
    if let direction = sign("+-") {
        guard let hours = number(2), hours < 24, sign(":") != nil, let minutes = number(2), minutes < 60 else { return nil }
        offset = (hours * 60 + minutes) * (direction == UInt8(ascii: "-") ? -60 : 60)
    } else if sign("Zz") == nil {
        return nil
    }
    guard rest.isEmpty else { return nil }
    var parts = tm()
    parts.tm_year = Int32(year - 1900)
    parts.tm_mon = Int32(month - 1)
    parts.tm_mday = Int32(day)
    parts.tm_hour = Int32(hour)
    parts.tm_min = Int32(minute)
    parts.tm_sec = Int32(second)
    return Int64(timegm(&parts) - offset)
}
