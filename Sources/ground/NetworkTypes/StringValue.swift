/// A value that travels as one string and is checked when it is read.
public protocol StringValue: Codable, Hashable, Sendable, LosslessStringConvertible {
    /// - Throws: `InvalidValue` with the reason.
    init(parsing text: String) throws(InvalidValue)
}

extension StringValue {
    public init?(_ description: String) {
        do throws(InvalidValue) { try self.init(parsing: description) } catch { return nil }
    }
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        do throws(InvalidValue) {
            try self.init(parsing: text)
        } catch {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: error.description))
        }
    }
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
