import NodeDocument

/// Whether `owner` may change a host that remembers `state`, and with an `epoch` that is not out of date.
/// - Throws: `AgentError` of kind `foreignOwner` or `staleEpoch`.
func checkFence(_ state: HostState, owner: Owner, epoch: UInt64) throws(AgentError) {
    if let current = state.owner, current != owner {
        throw AgentError(
            .foreignOwner,
            "this host belongs to EdgeNode \(current) and not to \(owner); to take it over delete that EdgeNode, or run "
                + "\"/usr/local/lib/tidegate/edge-agent teardown\" on the host")
    }
    if epoch < state.epoch {
        throw AgentError(
            .staleEpoch,
            "the document has epoch \(epoch), but epoch \(state.epoch) was applied already: another controller has taken over")
    }
}
