import NodeDocument

/// Whether `owner` may change a host that remembers `state`, with an `epoch` that is not out of date and no other `writer`'s.
///
/// Two writers may hold one number, where a Lease was deleted or both rose above the same one: the first to come here has it, and
/// the other must rise above it, which only the one that leads does (`WriterFence`). A `writer` of nil, on either side, is of a build
/// that tells none.
/// - Throws: `AgentError` of kind `foreignOwner` or `staleEpoch`.
func checkFence(_ state: HostState, owner: Owner, epoch: UInt64, writer: String?) throws(AgentError) {
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
    if epoch == state.epoch, let writer, let known = state.writer, writer != known {
        throw AgentError(.staleEpoch, "epoch \(epoch) is another controller's")
    }
}
