import LinkProtocol

/// What the other end of a link says: frames, and what stands in streams. The same wherever it is cut, and never more than was allowed.
@Sendable func fuzzLinks(_ input: [UInt8]) {
    let step = max(1, Int(input.last ?? 1))
    for role in [LinkSession.Role.listener, .dialer] {
        let whole = linkEvents(input, role, in: input.count)
        let cut = linkEvents(input, role, in: step)
        require(whole.words == cut.words, "events are the same wherever the bytes are cut")
        if let error = whole.error { requirePrintable(error.description) }
    }
    let streams = [streamHeader, datagrams, controlMessages, proxyAnswer, proxyHeader]
    for read in streams {
        let whole = read(input, max(1, input.count))
        require(whole == read(input, step), "a stream's content is the same wherever it is cut")
    }
}

/// What a session makes of the bytes, in words, as it opens, sends and reads itself.
private func linkEvents(
    _ input: [UInt8], _ role: LinkSession.Role, in size: Int
) -> (words: [String], error: LinkProtocolError?) {
    var limits = LinkLimits()
    limits.streams = 8
    limits.unread = 100_000
    var session = LinkSession(role, limits: limits)
    let own = (try? session.open()) ?? 0
    session.offer(100_000, on: own)
    var sent = 0
    while let frame = session.nextFrame() { sent += frame.count }
    require(sent == limits.initialWindow, "no more is sent than the window allows")
    var words: [String] = []
    var payload: [StreamID: Int] = [:]
    for start in stride(from: 0, to: input.count, by: max(1, size)) {
        let piece = Array(input[start..<min(start + max(1, size), input.count)])
        var offset = 0
        do throws(LinkProtocolError) {
            while let event = try session.read(piece.span.bytes, &offset) {
                require(session.openStreams <= limits.streams, "no more streams than the limits allow")
                guard case .payload(let id, let range) = event else {
                    words.append("\(event)")
                    continue
                }
                require(range.upperBound <= piece.count, "payload is within what came")
                payload[id, default: 0] += range.count
                // One stream is read, the others are not.
                if id & 2 == 0 { session.consumed(range.count, on: id, now: 0) }
            }
            require(offset == piece.count, "all is read")
        } catch {
            return (words + ["\(payload.sorted { $0.key < $1.key })"], error)
        }
    }
    return (words + ["\(payload.sorted { $0.key < $1.key })"], nil)
}

private func pieces(_ input: [UInt8], _ size: Int) -> [[UInt8]] {
    stride(from: 0, to: input.count, by: size).map { Array(input[$0..<min($0 + size, input.count)]) }
}

private func streamHeader(_ input: [UInt8], _ size: Int) -> [String] {
    var reader = StreamHeaderReader()
    for piece in pieces(input, size) {
        var offset = 0
        do throws(LinkProtocolError) {
            guard let header = try reader.read(piece.span.bytes, &offset) else { continue }
            require(header.tunnelPort > 0, "a port is none")
            return ["\(header)"]
        } catch {
            return ["\(error)"]
        }
    }
    return []
}

private func datagrams(_ input: [UInt8], _ size: Int) -> [String] {
    var reader = DatagramReader()
    var found: [String] = []
    for piece in pieces(input, size) {
        var offset = 0
        do throws(LinkProtocolError) {
            while let datagram = try reader.read(piece.span.bytes, &offset) {
                require(datagram.count <= DatagramReader.longest, "a datagram fits UDP")
                found.append("\(datagram)")
            }
        } catch {
            return found + ["\(error)"]
        }
    }
    return found
}

private func controlMessages(_ input: [UInt8], _ size: Int) -> [String] {
    var reader = ControlReader()
    var assembly = HandedAssembly(most: 10_000)
    var found: [String] = []
    for piece in pieces(input, size) {
        var offset = 0
        do throws(LinkProtocolError) {
            while let message = try reader.read(piece.span.bytes, &offset) {
                if case .hello(let hello) = message { requirePrintable(hello.build) }
                require(message.bytes != nil, "what was read can be written")
                found.append("\(message)")
                guard case .part(let part) = message, let whole = try assembly.take(part) else { continue }
                require(whole.count <= 10_000, "no more is put together than may be")
                found.append("\(whole)")
            }
        } catch {
            return found + ["\(error)"]
        }
    }
    return found
}

private func proxyAnswer(_ input: [UInt8], _ size: Int) -> [String] {
    var reader = ProxyAnswerReader()
    var before = 0
    for piece in pieces(input, size) {
        var offset = 0
        if let answer = reader.read(piece.span.bytes, &offset) { return ["\(answer)", "\(before + offset)"] }
        before += piece.count
    }
    return []
}

private func proxyHeader(_ input: [UInt8], _ size: Int) -> [String] {
    var reader = ProxyHeaderReader()
    var before = 0
    for piece in pieces(input, size) {
        var offset = 0
        if let header = reader.read(piece.span.bytes, &offset) {
            require(before + offset <= ProxyHeaderReader.longest, "a header is no longer than it may be")
            if case .source(let source) = header { require([4, 16].contains(source.address.count), "an address is one") }
            return ["\(header)", "\(before + offset)"]
        }
        before += piece.count
    }
    return []
}
