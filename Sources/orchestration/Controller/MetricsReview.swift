import Documents
public import HealthAndMetrics
import JSON
public import KubernetesAPI

extension APIServer {
    /// Asks who a token is (TokenReview), and whether they may `get` the nonresource URL `/metrics` (SubjectAccessReview).
    public func reviewMetricsAccess(_ token: String) async throws(APIError) -> AccessDecision {
        let tokenReview = try await create(
            .tokenReviews, namespace: nil,
            [
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": ["token": .string(token)],
            ])
        let status = tokenReview["status"]
        guard status?["authenticated"]?.bool == true, let user = status?["user"], let name = user["username"]?.text else {
            return .unauthenticated
        }
        var spec: FieldMembers = [
            "user": .string(name), "nonResourceAttributes": ["path": "/metrics", "verb": "get"],
            "groups": .array((user["groups"]?.items ?? []).compactMap { $0.text.map { .string($0) } }),
        ]
        if let uid = user["uid"]?.text { spec["uid"] = .string(uid) }
        if let extra = user["extra"]?.entries {
            spec["extra"] = .object(
                FieldMembers(
                    extra.map { (key: $0.key, value: .array(($0.value.items ?? []).compactMap { $0.text.map { .string($0) } })) })
            )
        }
        let accessReview = try await create(
            .subjectAccessReviews, namespace: nil,
            ["apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": .object(spec)])
        let verdict = accessReview["status"]
        if verdict?["allowed"]?.bool == true { return .allowed(user: name) }
        return .denied(user: name, reason: verdict?["reason"]?.text ?? "")
    }
}
