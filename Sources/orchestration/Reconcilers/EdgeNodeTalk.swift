import EdgeAPI
import Enrollment
import NodeDocument
import Timing

// What is asked of a VPS, and what its refusals mean.
extension EdgeNodeReconciler {
    /// Runs what asks something of a VPS, and cuts it off when the deadline is over.
    func talk<Answer: Sendable>(
        to node: EdgeNode, until deadline: ContinuousClock.Instant,
        _ ask: @escaping @Sendable () async throws(EnrollmentError) -> Answer
    ) async throws(NodeFailure) -> Answer {
        let result = await withTimeLimit(until: deadline) { () -> Result<Answer, EnrollmentError> in
            do throws(EnrollmentError) { return .success(try await ask()) } catch { return .failure(error) }
        }
        switch result {
        case .success(let answer)?: return answer
        case .failure(let error)?: throw await risingAbove(error, of: node)
        case nil:
            throw NodeFailure(
                reason: "DeadlineExceeded",
                message:
                    "\(node.spec.address): the VPS had not done what it was asked within \(patience.components.seconds) s, so the "
                    + "connection was cut; see whether it is overloaded, and whether its edge-agent hangs",
                followUp: .retry)
        }
    }

    /// What a refusal means for the EdgeNode: one for the number it came with is tried again, by who still leads, with a higher one.
    func risingAbove(_ error: EnrollmentError, of node: EdgeNode) async -> NodeFailure {
        guard error.reason == .staleEpoch, let seen = error.epochSeen else { return NodeFailure(error) }
        do throws(StoreError) {
            guard try await writer.rise(above: seen, for: node.metadata.objectName) else { return NodeFailure(error) }
            return NodeFailure(reason: error.reason.rawValue, message: error.message, followUp: .retry)
        } catch {
            return NodeFailure(error)
        }
    }
}
