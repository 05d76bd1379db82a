let edgeNodeText = """
    apiVersion: tunnel.achetronic.com/v1alpha1
    kind: EdgeNode
    metadata:
      name: edge
    spec:
      address: 203.0.113.10
      ssh:
        secretRef:
          name: vps
    """

func portBindingText(_ name: String, port: Int = 80) -> String {
    """
    apiVersion: tunnel.achetronic.com/v1alpha1
    kind: PortBinding
    metadata:
      name: \(name)
    spec:
      edgeNodeRef:
        name: edge
      bindings:
      - name: http
        protocol: TCP
        listenPort: \(port)
        target:
          address: 10.0.0.1
          port: 80
    """
}

let secretText = """
    apiVersion: v1
    kind: Secret
    metadata:
      name: vps
    stringData:
      password: hunter2
    """

func documents(_ texts: String...) -> String { texts.joined(separator: "\n---\n") + "\n" }
