#if Kubernetes
import ArgumentParser
import Controller
import KubernetesAPI
import Logging
import PrometheusMetrics
import HealthAndMetrics
import ServiceLifecycle

/// What the controller serves: probes and metrics.
struct ServingOptions: ParsableArguments {
    @Option(help: "Address of /healthz and /readyz; 0 turns them off.")
    var healthProbeBindAddress = ":8081"

    @Option(help: "Address of /metrics, such as :8443; 0 turns it off.")
    var metricsBindAddress = "0"

    @Option(help: "Serve metrics over HTTPS, to those whom the cluster lets read them.")
    var metricsSecure = true

    @Option(name: .customLong("enable-http2"), help: "HTTP/2 for the metrics server.")
    var enableHTTP2 = false

    @Option(help: "Folder of the metrics server's certificate (default: a self-signed one).")
    var metricsCertPath = ""

    @Option(help: "The certificate's file name.")
    var metricsCertName = "tls.crt"

    @Option(help: "The key's file name.")
    var metricsCertKey = "tls.key"

    @Option(help: "Taken for compatibility: there are no webhooks, the CRDs' own rules check manifests.")
    var webhookCertPath = ""

    @Option(help: "As --webhook-cert-path.")
    var webhookCertName = "tls.crt"

    @Option(help: "As --webhook-cert-path.")
    var webhookCertKey = "tls.key"

    func services(
        _ controller: KubernetesController, _ server: APIServer, _ registry: MetricRegistry, logger: Logger
    ) throws -> [any Service] {
        if !webhookCertPath.isEmpty {
            logger.notice("--webhook-cert-path is not used: there are no webhooks, the CRDs' own rules check manifests")
        }
        var services: [any Service] = []
        if let address = try ListenAddress.parse(healthProbeBindAddress, flag: HealthServer.flag) {
            let synced = HealthCheck("informers") {
                controller.hasSynced ? nil : controller.problem ?? "EdgeNodes and PortBindings are being read"
            }
            services.append(try HealthServer(address: address, ready: [.ping, synced], logger: logger))
        }
        if let address = try ListenAddress.parse(metricsBindAddress, flag: MetricsServer.flag) {
            let files =
                metricsCertPath.isEmpty
                ? nil : CertificateFiles(folder: metricsCertPath, certificate: metricsCertName, key: metricsCertKey)
            let security: MetricsServer.Security =
                metricsSecure
                ? .on(certificate: files, http2: enableHTTP2) { try await server.reviewMetricsAccess($0) } : .off
            services.append(MetricsServer(address: address, security: security, registry: registry, logger: logger))
        }
        return services
    }
}
#endif
