import NetworkTypes
import NodeDocument

@testable import NodeAgent
@testable import UplinkAgent

/// What an Envoy says to the prober, from the first byte of its connection on, and the files that the prober reads and writes.
@Sendable func fuzzDiscovery(_ input: [UInt8]) {
    connection(input)
    message(input)
    do throws(MalformedMessage) {
        let set = try ResourceSet(input)
        require(set.resources.allSatisfy { $0.bytes.count <= input.count }, "a resource comes out of the file")
        let file = ResourceSet.file(typeURL: set.typeURL, set.resources.map(\.bytes))
        let again = required("what was read can be written and read") { () throws(MalformedMessage) in try ResourceSet(file.bytes)
        }
        require(again.resources == set.resources, "resources are read as what they were")
    } catch {
        requirePrintable(error.reason)
    }
    if let word = try? DocumentJSON.decode(UplinkWord.self, from: input) {
        let starved = word.starved(["web", "dns"])
        require(starved.allSatisfy { name in !word.uplinks.contains { $0.serves(name) } }, "who is served does not starve")
        for uplink in word.uplinks { _ = word.saying(of: uplink.ordinal, at: [uplink.address]) }
    }
    _ = try? DocumentJSON.decode(EnvoyWord.self, from: input)
}

/// HTTP/2 gives the same messages wherever its bytes are cut.
private func connection(_ input: [UInt8]) {
    let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    let bytes = input.starts(with: preface.prefix(4)) ? input : preface + input
    var whole = HTTP2Connection()
    let events: [HTTP2Connection.Event]
    do throws(MalformedMessage) {
        events = try whole.take(bytes)
    } catch {
        requirePrintable(error.reason)
        return
    }
    var cut = HTTP2Connection()
    var parts: [HTTP2Connection.Event] = []
    let step = max(1, Int(input.last ?? 1))
    for start in stride(from: 0, to: bytes.count, by: step) {
        parts += required("what is good whole is good in parts") { () throws(MalformedMessage) in
            try cut.take(bytes[start..<min(start + step, bytes.count)])
        }
    }
    require(parts == events, "events are the same wherever the bytes are cut")
    require(whole.takeOutput() == cut.takeOutput(), "and so are our answers")
    for case .message(let contents) in events { message(contents) }
}

private func message(_ bytes: [UInt8]) {
    do throws(MalformedMessage) {
        let request = try DiscoveryRequest(bytes[...])
        var stream = EndpointStream()
        _ = stream.take(request)
        _ = stream.response { Array($0.utf8) }
        if let refusal = stream.take(request) { requirePrintable(refusal) }
        require(
            request.typeURL != LoadAssignment.typeURL || stream.names == request.names, "the names are those that were asked for")
    } catch {
        requirePrintable(error.reason)
    }
    do throws(MalformedMessage) {
        let request = try DeltaRequest(bytes[...])
        var stream = ResourceStream()
        _ = stream.take(request)
        if let refusal = request.refusal { requirePrintable(refusal) }
        _ = stream.take(request)
        require(stream.answer == nil, "nothing was told, and so nothing answered")
    } catch {
        requirePrintable(error.reason)
    }
}

/// The lines of an uplink's packed document.
@Sendable func fuzzLines(_ input: [UInt8]) {
    for line in String(decoding: input, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false) {
        do throws(InvalidValue) {
            let forward = try Forward(line: String(line))
            let again = required("what was read can be written and read") { () throws(InvalidValue) in
                try Forward(line: forward.line)
            }
            require(again == forward, "a line is read as what it was")
        } catch {
            requirePrintable(error.description)
        }
    }
    // The same between quotes, as they stand in the document.
    if let document = try? DocumentFile.parse(input, path: "document.json") {
        let names = document.content.forwards.map { "\($0.protocol)/\($0.tunnelPort)" }
        require(Set(names).count == names.count, "a port leads to one target")
    }
}
