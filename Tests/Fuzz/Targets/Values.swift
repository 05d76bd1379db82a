import KubernetesAPI
import NetlinkMessages
import NetworkTypes

@testable import HostNetwork
@testable import KubernetesClient

/// The small texts: addresses, names, durations, times, base64.
@Sendable func fuzzValues(_ input: [UInt8]) {
    if let decoded = decodeBase64(String(decoding: input, as: UTF8.self)) {
        require(Array(encodeBase64(decoded).utf8) == input, "base64 has one form")
    }
    require(decodeBase64(encodeBase64(input)) == input, "base64 gives the bytes back")
    guard let text = text(input) else { return }
    roundTrip(IPv4Address.self, text)
    roundTrip(IPv6Address.self, text)
    roundTrip(IPAddress.self, text)
    roundTrip(IPPrefix.self, text)
    roundTrip(InterfaceName.self, text)
    roundTrip(SysctlKey.self, text)
    roundTrip(WireGuardPublicKey.self, text)
    if let address = IPv4Address(text) { require(address.description == text, "an IPv4 address has one form") }
    if let host = roundTrip(HostAddress.self, text) {
        require(host.bracketed.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }, "a host address is plain ASCII")
        if case .name(let name) = host { require(isDNSName(name) && IPAddress(name) == nil, "a name is a DNS name") }
    }
    if let network = roundTrip(CIDR.self, text) {
        for offset in [0, 1, 2, 255, 1 << 31, .max] {
            if let host = network.host(offset) { require(network.contains(host), "\(host) lies in \(network)") }
        }
    }
    if let duration = roundTrip(GoDuration.self, text) { _ = (duration.protobufJSON, duration.duration) }
    if let time = MicroTime(parsing: text) {
        require(MicroTime(parsing: time.description) == time, "\(time) reads as what it was")
    }
    if let seconds = secondsSince1970(rfc3339: text) { require(abs(seconds) < 1 << 38, "a year of four digits") }
    requirePrintable(printable(text))
    require(printable(text, limit: 5).unicodeScalars.count <= 5 * 10 + 1, "printable keeps to its limit")
}

@discardableResult
private func roundTrip<Value: StringValue>(_ type: Value.Type, _ text: String) -> Value? {
    do throws(InvalidValue) {
        let value = try Value(parsing: text)
        require(Value(value.description) == value, "\(type) \(value) reads as what it was")
        requirePrintable(value.description)
        return value
    } catch {
        requirePrintable(error.description)
        return nil
    }
}
