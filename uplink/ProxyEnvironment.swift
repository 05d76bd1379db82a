import Glibc
import LinkCarriers

/// The proxy that the environment names, for links.
enum ProxyEnvironment {
    /// In the order of preference.
    private static let names = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]

    /// Takes it out of the environment, where whoever reads /proc/PID/environ, and each program that is started, would find its password.
    static func take() throws(LinkCarrierError) -> HTTPProxy? {
        let values = names.compactMap(take)
        guard var url = values.first(where: { !$0.isEmpty }) else { return nil }
        return try HTTPProxy(consumingURL: &url)
    }

    private static func take(_ name: String) -> [UInt8]? {
        guard let text = getenv(name) else { return nil }
        let count = strlen(text)
        let bytes = UnsafeRawBufferPointer(start: text, count: count).map(\.self)
        explicit_bzero(text, count)
        unsetenv(name)
        return bytes
    }
}
