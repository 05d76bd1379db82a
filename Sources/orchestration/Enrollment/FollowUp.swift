/// What follows from a failure.
public enum FollowUp: Hashable, Sendable {
    /// It may pass by itself: try again, with backoff.
    case retry
    /// Something named in the message has to come first, such as another Secret. Its arrival triggers the next try where that can be
    /// watched, and a short wait does elsewhere.
    case waiting
    /// The VPS itself turned us away. Each try may count against us there (fail2ban, faillock), so they are few.
    case refused
    /// The user has to act.
    case stalled
}
