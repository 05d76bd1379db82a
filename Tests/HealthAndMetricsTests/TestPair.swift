import Crypto
import Foundation
import SwiftASN1
import X509

@testable import HealthAndMetrics

/// A self-signed certificate for 127.0.0.1 and its key, as PEM.
struct TestPair {
    let certificate: String
    let key: String

    init(commonName: String) throws {
        let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let name = try DistinguishedName { CommonName(commonName) }
        let certificate = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: key.publicKey, notValidBefore: .now - 3600,
            notValidAfter: .now + 86400,
            issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try .init {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
                SubjectAlternativeNames([.ipAddress(.init(contentBytes: [127, 0, 0, 1]))])
            },
            issuerPrivateKey: key)
        self.certificate = try certificate.serializeAsPEM().pemString + "\n"
        self.key = try key.serializeAsPEM().pemString + "\n"
    }
}

/// A mounted Secret, as the kubelet makes and changes it: `tls.crt` leads through `..data` to a folder of the moment.
struct MountedSecret {
    let folder: ScratchFolder

    init(certificate: String, key: String) throws {
        folder = try ScratchFolder()
        try update(certificate: certificate, key: key)
        for name in ["tls.crt", "tls.key"] {
            try FileManager.default.createSymbolicLink(
                atPath: folder.path + "/" + name, withDestinationPath: "..data/" + name)
        }
    }

    var files: CertificateFiles { CertificateFiles(folder: folder.path) }

    func update(certificate: String, key: String) throws {
        let version = "..\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder.path + "/" + version, withIntermediateDirectories: false)
        try certificate.write(toFile: folder.path + "/" + version + "/tls.crt", atomically: false, encoding: .utf8)
        try key.write(toFile: folder.path + "/" + version + "/tls.key", atomically: false, encoding: .utf8)
        try FileManager.default.createSymbolicLink(atPath: folder.path + "/..data_tmp", withDestinationPath: version)
        guard rename(folder.path + "/..data_tmp", folder.path + "/..data") == 0 else {
            throw CocoaError(.fileWriteUnknown)
        }
    }
}
