/// Whose work it is: places are shared out by this.
public struct WorkShare: Hashable, Sendable {
    /// The namespace of the object.
    public var tenant: String
    /// The host that is spoken to; empty for none.
    public var host: String

    public init(tenant: String = "", host: String = "") {
        self.tenant = tenant
        self.host = host
    }
}

/// How the places of a `WorkQueue` are shared out, so that whoever is slow holds up nobody else.
///
/// - Of the tenants with something due the one with the fewest places is next, then the one whose turn was longest ago.
/// - A run that takes longer than `patience` waits for somebody outside: it is set aside, and its place is given on.
/// - A key whose last run was slower than `slowness` takes no place the next time, but begins aside, where each tenant and each of its
///   hosts has a few.
/// - Nobody fills the room that is aside: who has as much of it as is left free begins nothing that may need more, however many objects he
///   makes and removes again meanwhile.
/// - Within a tenant, a key whose last run was quick goes before those that are slow or unknown, but for so long only.
public struct FairShares: Sendable {
    /// Nil sets nothing aside.
    var patience: Duration?
    var slowness: Duration = .seconds(2)
    /// Runs that are set aside at once, of all tenants; a run that is slow after that keeps its place. Each holds a thread, a
    /// connection and a document.
    var mostAside = 256
    /// Of these, runs that began aside.
    var mostOfTenant = 16
    /// The same of one host of a tenant.
    var mostOfHost = 4
    /// How much longer than a quick key one that is slow or unknown may have to wait.
    var headStart: Duration = .seconds(30)

    /// Shared out by tenants, and nothing is set aside: for work that waits for the API server alone.
    public static let byTenant = FairShares(patience: nil)
    /// For work that waits for hosts of others. A hundred that hang hold five places for three seconds, once.
    public static let byHost = FairShares(patience: .milliseconds(150))
}
