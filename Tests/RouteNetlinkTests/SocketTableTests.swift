import NetworkTypes
import RouteNetlink
import Testing

@Suite struct SocketTableTests {
    private static let tcp = """
          sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
           0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0 100 0 0 10 0
           1: 0100007F:1F91 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 99 1 0 100 0 0 10 0
        nonsense
        """
    private static let tcp6 = """
          sl  local_address                         remote_address                        st tx_queue rx_queue tr tm uid
           0: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 \
        00000000     0        0 777 1 0 100 0 0 10 0
        """

    @Test func readsListeningSockets() {
        let sockets = SocketTable.parse(Self.tcp, transport: .tcp)
        #expect(sockets.map { "\($0.address) \($0.port) \($0.uid) \($0.inode)" } == ["127.0.0.1 8080 1000 12345"])
        let sockets6 = SocketTable.parse(Self.tcp6, transport: .tcp)
        #expect(sockets6.map { "\($0.address) \($0.port) \($0.inode)" } == ["::1 53 777"])
    }

    @Test func readsConnectedUDPSocketsAsSuch() {
        let sockets = SocketTable.parse(Self.tcp, transport: .udp)
        #expect(sockets.map(\.isConnected) == [false, true])
    }
}
