import NetworkTypes
import NodeDocument
import RemoteDocuments
import TunnelProtocols
import WebSocketFrames

/// What clients of wstunnel and rathole say to a gateway, and what a remote is told. The same wherever it is cut, and never more than is allowed.
@Sendable func fuzzTunnels(_ input: [UInt8]) {
    let step = max(1, Int(input.last ?? 1))
    require(frames(input, input.count) == frames(input, step), "frames are the same wherever the bytes are cut")
    require(datagrams(input, input.count) == datagrams(input, step), "datagrams are the same wherever the bytes are cut")
    if let hello = Rathole.Hello(input) { require(input.count == Rathole.helloSize, "a hello has its size: \(hello)") }
    let text = String(decoding: input, as: UTF8.self)
    if let prefix = WstunnelRequest.prefix(ofPath: text) { require(!prefix.contains("/"), "a prefix is one part of a path") }
    let claims = encodeBase64URL(input)
    require(decodeBase64URL(claims) == input, "what is written is read again the same")
    do throws(InvalidValue) {
        let request = try WstunnelRequest(token: "a.\(String(decoding: claims, as: UTF8.self)).b")
        requirePrintable(request.host)
    } catch {
        requirePrintable(error.description)
    }
    do throws(InvalidValue) {
        let ports = RemotePort.named(try RemotePort.list(parsing: text))
        require(Set(ports.map(\.name)).count == ports.count, "each port has a name of its own")
    } catch {
        requirePrintable(error.description)
    }
    if let document = try? DocumentJSON.decode(GatewayDocument.self, from: input), document.fault == nil {
        require(document.ports.count <= RemotePort.most, "no more ports than are allowed")
    }
    _ = try? DocumentJSON.decode(RemotePorts.self, from: input)
    if GatewayReport.bounds.excess(in: input) == nil { _ = try? DocumentJSON.decode(GatewayReport.self, from: input) }
    var token = input
    if let token = try? RemoteToken(consuming: &token) { requirePrintable("\(token)") }
}

private func pieces(_ input: [UInt8], _ size: Int) -> [[UInt8]] {
    stride(from: 0, to: input.count, by: max(1, size)).map { Array(input[$0..<min($0 + max(1, size), input.count)]) }
}

private func frames(_ input: [UInt8], _ size: Int) -> [String] {
    var reader = WebSocketFrameReader()
    var words: [String] = []
    var payload: [UInt8] = []
    for piece in pieces(input, size) {
        var offset = 0
        do throws(WebSocketFrameReader.Fault) {
            while let event = try reader.read(piece.span.bytes, &offset) {
                switch event {
                case .payload(let count, let mask):
                    require(offset + count <= piece.count, "payload is within what came")
                    var part = Array(piece[offset..<offset + count])
                    offset += count
                    if let mask { part.withUnsafeMutableBytes { mask.apply(to: $0) } }
                    payload += part
                case .end:
                    words.append("\(payload)")
                    payload = []
                default: words.append("\(event)")
                }
            }
            require(offset == piece.count, "all is read")
        } catch {
            return words + ["\(payload)", error.description]
        }
    }
    return words + ["\(payload)"]
}

private func datagrams(_ input: [UInt8], _ size: Int) -> [String] {
    var reader = Rathole.DatagramReader()
    var words: [String] = []
    for piece in pieces(input, size) {
        var offset = 0
        do throws(Rathole.Fault) {
            while let datagram = try reader.read(piece.span.bytes, &offset) {
                words.append("\(datagram)")
                require(datagram.frame != nil, "what was read can be written")
            }
        } catch {
            return words + [error.description]
        }
    }
    return words
}
