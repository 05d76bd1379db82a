public import Timing

/// A date as Leases and Events hold it (meta/v1 MicroTime): RFC 3339 with exactly six digits of fraction, in UTC.
public struct MicroTime: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// After 1970-01-01T00:00:00Z; negative before.
    public var microseconds: Int64

    public init(microseconds: Int64) { self.microseconds = microseconds }

    private static let daySeconds: Int64 = 86_400
    /// Days of 400 years of the Gregorian calendar.
    private static let eraDays: Int64 = 146_097
    /// From 0000-03-01, where the reckoning below begins, to 1970-01-01.
    private static let daysBefore1970: Int64 = 719_468

    /// - Returns: nil for anything but `2026-01-02T15:04:05.123456Z`, the one form the API server writes and takes.
    public init?(parsing text: String) {
        let bytes = Array(text.utf8)
        let form = Array("0000-00-00T00:00:00.000000Z".utf8)
        guard bytes.count == form.count else { return nil }
        for (byte, place) in zip(bytes, form) {
            let fits = place == UInt8(ascii: "0") ? (0x30...0x39).contains(byte) : byte == place
            guard fits else { return nil }
        }
        func number(_ range: Range<Int>) -> Int64 { bytes[range].reduce(0) { $0 * 10 + Int64($1 - 0x30) } }
        let (year, month, day) = (number(0..<4), number(5..<7), number(8..<10))
        let (hour, minute, second) = (number(11..<13), number(14..<16), number(17..<19))
        guard (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 60 else { return nil }
        // The year begins in March, so that the leap day is its last.
        let marchYear = month > 2 ? year : year - 1
        let era = (marchYear >= 0 ? marchYear : marchYear - 399) / 400
        let yearOfEra = marchYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = era * Self.eraDays + dayOfEra - Self.daysBefore1970
        let seconds = days * Self.daySeconds + hour * 3600 + minute * 60 + second
        microseconds = seconds * 1_000_000 + number(20..<26)
    }

    public var description: String {
        let seconds = floorDivided(microseconds, by: 1_000_000)
        let fraction = microseconds - seconds * 1_000_000
        let dayNumber = floorDivided(seconds, by: Self.daySeconds)
        let time = seconds - dayNumber * Self.daySeconds
        let days = dayNumber + Self.daysBefore1970
        let era = floorDivided(days, by: Self.eraDays)
        let dayOfEra = days - era * Self.eraDays
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T\(padded(time / 3600, 2)):\(padded(time / 60 % 60, 2))"
            + ":\(padded(time % 60, 2)).\(padded(fraction, 6))Z"
    }

    public static func < (a: Self, b: Self) -> Bool { a.microseconds < b.microseconds }
}

private func floorDivided(_ number: Int64, by divisor: Int64) -> Int64 {
    let quotient = number / divisor
    return number % divisor < 0 ? quotient - 1 : quotient
}

private func padded(_ number: Int64, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}

extension TimeSource {
    public func microTime() -> MicroTime { MicroTime(microseconds: microseconds()) }
}
