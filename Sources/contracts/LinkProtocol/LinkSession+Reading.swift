extension LinkSession {
    /// Reads on in `input` from `offset`, which moves on; nil when all is read. Payload counts as unread until `consumed`.
    ///
    /// After an error the session is over; `output` then ends with what tells the peer.
    public mutating func read(_ input: RawSpan, _ offset: inout Int) throws(LinkProtocolError) -> Event? {
        do throws(LinkProtocolError) {
            return try readOn(input, &offset)
        } catch {
            sayGoodbye(.protocolError)
            throw error
        }
    }

    private mutating func readOn(_ input: RawSpan, _ offset: inout Int) throws(LinkProtocolError) -> Event? {
        while true {
            if let event = nextDue() { return event }
            if let body {
                guard let event = readBody(body, input, &offset) else { return nil }
                if case .some(let event) = event { return event }
            } else {
                guard let header = try readHeader(input, &offset) else { return nil }
                try take(header)
                guard output.count <= limits.answers else { throw .tooManyAnswers(bytes: output.count) }
            }
        }
    }

    private mutating func nextDue() -> Event? {
        guard dueRead < due.count else { return nil }
        defer {
            dueRead += 1
            if dueRead == due.count {
                due.removeAll(keepingCapacity: true)
                dueRead = 0
            }
        }
        return due[dueRead]
    }

    /// Nil when the header is not whole yet.
    private mutating func readHeader(_ input: RawSpan, _ offset: inout Int) throws(LinkProtocolError) -> FrameHeader? {
        if partialHeader.isEmpty, input.byteCount - offset >= FrameHeader.size {
            defer { offset += FrameHeader.size }
            return try FrameHeader(input, at: offset)
        }
        while offset < input.byteCount, partialHeader.count < FrameHeader.size {
            partialHeader.append(input.byte(offset))
            offset += 1
        }
        guard partialHeader.count == FrameHeader.size else { return nil }
        defer { partialHeader.removeAll(keepingCapacity: true) }
        return try FrameHeader(partialHeader.span.bytes, at: 0)
    }

    /// Nil when nothing is left in the input; `.some(nil)` when what was read is nobody's.
    private mutating func readBody(_ reading: Body, _ input: RawSpan, _ offset: inout Int) -> Event?? {
        let count = min(reading.left, input.byteCount - offset)
        guard count > 0 || reading.left == 0 else { return nil }
        let range = offset..<offset + count
        offset += count
        var isWanted = false
        if count > 0, streams[reading.stream] != nil {
            streams[reading.stream]?.unread += count
            streams[reading.stream]?.announced -= count
            unread += count
            isWanted = true
        }
        if count == reading.left {
            body = nil
            finishFrame(reading.stream, reading.flags)
        } else {
            body?.left -= count
        }
        if unread > limits.unread { resetFullest() }
        return .some(isWanted ? .payload(reading.stream, range) : nil)
    }

    private mutating func take(_ header: FrameHeader) throws(LinkProtocolError) {
        switch header.kind {
        case .data, .windowUpdate: try takeStreamFrame(header)
        case .ping:
            guard header.stream == 0 else { throw .wrongStream(header.stream) }
            if header.flags.contains(.syn) {
                FrameHeader(.ping, .ack, stream: 0, length: header.length).append(to: &output)
            } else if let index = pings.firstIndex(of: header.length) {
                pings.remove(at: index)
                due.append(.pong(header.length))
            }
        case .goAway:
            guard header.stream == 0 else { throw .wrongStream(header.stream) }
            guard let reason = Goodbye(rawValue: header.length) else { throw .goAwayReason(header.length) }
            // Said again it is nothing new, and whoever says it over and over keeps nobody busy.
            guard !heardGoodbye else { return }
            heardGoodbye = true
            due.append(.goodbye(reason))
        }
    }

    private mutating func takeStreamFrame(_ header: FrameHeader) throws(LinkProtocolError) {
        let id = header.stream
        guard id != 0 else { throw .wrongStream(0) }
        if header.flags.contains(.syn) {
            try takeOpening(id)
        } else {
            guard isOwn(id) ? id < nextOwn : id <= lastOfPeer else { throw .neverOpened(id) }
        }
        let length = Int(header.length)
        guard header.kind == .data else {
            if let stream = streams[id] {
                guard stream.sendWindow + length <= Int(Int32.max) else { throw .windowTooLarge(id) }
                streams[id]?.sendWindow += length
                waitForTurn(id)
            }
            return finishFrame(id, header.flags)
        }
        // What still comes for a stream that is gone is within what it was allowed.
        let allowed = streams[id]?.receiveWindow ?? max(limits.largestWindow, limits.initialWindow)
        guard length <= allowed else { throw .frameTooLong(id, length: length, allowed: allowed) }
        if length > 0, streams[id]?.peerEnded == true { throw .dataAfterEnd(id) }
        streams[id]?.receiveWindow -= length
        streams[id]?.announced += length
        if header.flags.contains(.rst) { finishFrame(id, .rst) }
        body = Body(stream: id, left: length, flags: header.flags)
    }

    private mutating func takeOpening(_ id: StreamID) throws(LinkProtocolError) {
        guard !isOwn(id), id > lastOfPeer else { throw .openedWrongly(id) }
        lastOfPeer = id
        // After a goodbye too: it was on its way, and the peer opens no more once it heard.
        guard streams.count < limits.streams, openOfPeer < limits.peersStreams else {
            return FrameHeader(.windowUpdate, .rst, stream: id, length: 0).append(to: &output)
        }
        streams[id] = StreamState(window: limits.initialWindow)
        openOfPeer += 1
        // At once: peers count the streams that were not taken yet, and open no more than some.
        FrameHeader(.windowUpdate, .ack, stream: id, length: 0).append(to: &output)
        due.append(.opened(id))
    }

    /// What follows once the frame's payload was read.
    private mutating func finishFrame(_ id: StreamID, _ flags: FrameHeader.Flags) {
        guard let stream = streams[id] else { return }
        if flags.contains(.rst) {
            remove(id)
            due.append(.reset(id))
        } else if flags.contains(.fin), !stream.peerEnded {
            streams[id]?.peerEnded = true
            due.append(.ended(id))
            removeIfOver(id)
        }
    }

    /// Rare, and each time some hundredth of the bound is freed at least, so the search costs little in all.
    private mutating func resetFullest() {
        guard let fullest = streams.max(by: { $0.value.unread < $1.value.unread })?.key else { return }
        reset(fullest)
        due.append(.reset(fullest))
    }
}
