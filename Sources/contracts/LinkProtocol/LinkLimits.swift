/// The bounds of one link. What both sides must agree on comes with the link's version, not from here: see `LinkVersion`.
public struct LinkLimits: Equatable, Sendable {
    /// Streams that may be open at a time, those of either side.
    public var streams = 16_384
    /// Of them, those that the peer may have opened.
    public var peersStreams = 16_384
    /// Bytes that a stream may get before anybody read one. Both sides count with it; yamux's own is 262,144.
    public var initialWindow = LinkVersion.initialWindow
    /// Bytes that a stream may get at most: what a reader that keeps up is given, step by step.
    public var largestWindow = 8 << 20
    /// What windows may hold beyond the initial ones, all together. A stream's window takes a quarter of what is free at most, so
    /// that streams which stopped reading never leave the others without.
    public var windowPool = 64 << 20
    /// Bytes received and not yet read, all streams together: beyond it the fullest one is reset.
    public var unread = 128 << 20
    /// Bytes of one data frame that we send, at most. Short ones share the link better, long ones cost less.
    public var frame = 64 << 10
    /// Bytes that a stream may have waiting to be served before those that have more.
    public var shortOffer = 8 << 10
    /// Pings sent that have no answer yet.
    public var pings = 4

    public init() {}

    /// Bytes of answers and window updates that may wait: four frames for each stream, and some.
    var answers: Int { (64 << 10) + 4 * FrameHeader.size * streams }
}

/// What both ends know by the name of the protocol that TLS negotiates (ALPN).
public enum LinkVersion {
    public static let protocolName = "tidegate-link/1"
    /// Bytes that may be sent on a stream before its first window update; less than yamux's 262,144, so that 10,000 readers who
    /// stopped do not fill a small machine, and enough for the longest datagram.
    public static let initialWindow = 65_536
}
