// swift-tools-version: 6.1
import PackageDescription

// The server: sockets and the page. A package of its own, so that building and testing the toolkit does not build it.
let package = Package(
  name: "gristmill-server",
  products: [.executable(name: "gristmill-server", targets: ["gristmill-server"])],
  dependencies: [
    .package(name: "gristmill", path: ".."),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.16.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.80.0"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.25.0"),
  ],
  targets: [
    .target(
      name: "GristServer",
      dependencies: [
        .product(name: "GristCore", package: "gristmill"),
        .product(name: "GristModel", package: "gristmill"),
        .product(name: "GristServing", package: "gristmill"),
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "CoreMetrics", package: "swift-metrics"),
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ],
      resources: [.embedInCode("Page/index.html"), .embedInCode("Page/openapi.json")]),
    .executableTarget(
      name: "gristmill-server",
      dependencies: [
        "GristServer",
        .product(name: "GristmillKit", package: "gristmill"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Metrics", package: "swift-metrics"),
      ]),
    .testTarget(
      name: "GristServerTests",
      dependencies: [
        "GristServer",
        .product(name: "GristmillKit", package: "gristmill"),
        .product(name: "HummingbirdTesting", package: "hummingbird"),
      ]),
  ],
  swiftLanguageModes: [.v6]
)
