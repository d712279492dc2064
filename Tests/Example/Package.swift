// swift-tools-version: 6.1
import PackageDescription

// A package of its own that stands on Gristmill's products, as its users' do.
let package = Package(
  name: "example",
  dependencies: [.package(name: "gristmill", path: "../..")],
  targets: [
    .executableTarget(
      name: "example",
      dependencies: [
        .product(name: "GristKernels", package: "gristmill"), .product(name: "GristModel", package: "gristmill"),
        .product(name: "GristVerification", package: "gristmill"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
