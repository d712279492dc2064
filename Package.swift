// swift-tools-version: 6.1
import PackageDescription

// Modules are listed in the order data flows through them: a module imports only what stands before it.
let package = Package(
  name: "gristmill",
  products: [
    .library(name: "GristCore", targets: ["GristCore"]),
    .library(name: "GristKernels", targets: ["GristKernels"]),
    .library(name: "GristFormat", targets: ["GristFormat"]),
    .library(name: "GristCheckpoints", targets: ["GristCheckpoints"]),
    .library(name: "GristTemplates", targets: ["GristTemplates"]),
    .library(name: "GristFamilies", targets: ["GristFamilies"]),
    .library(name: "GristQuantization", targets: ["GristQuantization"]),
    .library(name: "GristImaging", targets: ["GristImaging"]),
    .library(name: "GristModel", targets: ["GristModel"]),
    .library(name: "GristCalibration", targets: ["GristCalibration"]),
    .library(name: "GristConversion", targets: ["GristConversion"]),
    .library(name: "GristVerification", targets: ["GristVerification"]),
    .library(name: "GristReports", targets: ["GristReports"]),
    .library(name: "GristBenchmark", targets: ["GristBenchmark"]),
    .executable(name: "gristmill", targets: ["gristmill"]),
    .executable(name: "gristmill-hdf5", targets: ["gristmill-hdf5"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "3.10.0"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.1.0"),
    .package(url: "https://github.com/apple/swift-numerics", from: "1.1.0"),
    .package(url: "https://github.com/apple/swift-system", from: "1.6.0"),
  ],
  targets: [
    // System libraries and the thin C that lets Swift reach them.
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(name: "CHDF5", pkgConfig: "hdf5", providers: [.apt(["libhdf5-dev"])]),
    .systemLibrary(name: "CLibJPEG", pkgConfig: "libjpeg", providers: [.apt(["libjpeg-dev"])]),
    .target(name: "CGristJPEG", dependencies: ["CLibJPEG"]),
    .target(name: "CGristSystem"),
    // The program's allocator: memory that is refused ends it with a sentence.
    .target(name: "CGristProgram", dependencies: ["CGristSystem"]),
    // Loads OpenBLAS when it is needed.
    .target(name: "CGristBLAS", linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),
    .target(name: "CGristKernels"),

    .target(
      name: "GristCore",
      dependencies: [
        "CGristSystem", .product(name: "OrderedCollections", package: "swift-collections"),
        .product(name: "SystemPackage", package: "swift-system"),
      ]),
    .target(
      name: "GristKernels",
      dependencies: [
        "GristCore", "CGristKernels", "CGristBLAS", .product(name: "RealModule", package: "swift-numerics"),
      ]),
    .target(name: "GristFormat", dependencies: ["GristCore", "CZstd", "CXXHash"]),
    .target(
      name: "GristCheckpoints",
      dependencies: [
        "GristCore", "GristFormat", "CGristSystem", "CZlib", .product(name: "Crypto", package: "swift-crypto"),
      ]),
    // Chat templates: the language that they are written in. Knows no file and no clock.
    .target(
      name: "GristTemplates", dependencies: ["GristCore", .product(name: "RealModule", package: "swift-numerics")]),
    .target(
      name: "GristFamilies",
      dependencies: [
        "GristCore", "GristCheckpoints", "GristTemplates", .product(name: "RealModule", package: "swift-numerics"),
      ],
      // A link to Formats/maps: name maps are data, and travel inside the library.
      resources: [.embedInCode("Names/Maps")]),
    .target(
      name: "GristQuantization",
      dependencies: ["GristCore", "GristKernels", "GristFormat", "GristCheckpoints", "GristFamilies"]),
    .target(name: "GristImaging", dependencies: ["GristCore", "CGristJPEG"]),
    .target(
      name: "GristModel",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristCheckpoints", "GristTemplates", "GristFamilies",
        "GristImaging",
        .product(name: "HeapModule", package: "swift-collections"),
        .product(name: "RealModule", package: "swift-numerics"),
      ]),
    .target(
      name: "GristCalibration",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristCheckpoints", "GristTemplates", "GristFamilies",
        "GristQuantization", "GristImaging", "GristModel",
      ],
      resources: [.embedInCode("Samples")]),
    .target(
      name: "GristConversion",
      dependencies: [
        "GristImaging", "GristModel", "GristCalibration",
        "GristCore", "GristKernels", "GristFormat", "GristCheckpoints", "GristFamilies", "GristQuantization",
      ]),
    .target(
      name: "GristVerification",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristCheckpoints", "GristTemplates", "GristFamilies",
        "GristQuantization", "GristImaging", "GristModel", .product(name: "RealModule", package: "swift-numerics"),
      ]),
    .target(name: "GristReports", dependencies: ["GristCore", "GristModel", "GristVerification"]),
    .target(
      name: "GristBenchmark",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristCheckpoints", "GristFamilies", "GristImaging", "GristModel",
      ]),
    // The one program that links libhdf5; GristCheckpoints starts it and talks to it.
    .executableTarget(
      name: "gristmill-hdf5", dependencies: ["CHDF5"], cSettings: [.define("H5_USE_110_API")]),
    .executableTarget(
      name: "gristmill",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristCheckpoints", "GristTemplates", "GristFamilies",
        "GristQuantization", "GristCalibration", "GristConversion", "GristImaging", "GristModel", "GristVerification",
        "GristReports",
        "GristBenchmark", "CGristProgram",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),

    // What tests share: fixtures and temporary folders.
    .target(name: "TestSupport", dependencies: ["GristCore"], path: "Tests/TestSupport"),
    .testTarget(name: "GristCoreTests", dependencies: ["GristCore", "TestSupport"]),
    .testTarget(
      name: "GristKernelsTests", dependencies: ["GristCore", "GristKernels", "CGristKernels", "TestSupport"]),
    .testTarget(name: "GristFormatTests", dependencies: ["GristCore", "GristFormat", "TestSupport"]),
    .testTarget(
      name: "GristCheckpointsTests",
      dependencies: ["GristCore", "GristFormat", "GristCheckpoints", "GristFamilies", "TestSupport"]),
    .testTarget(name: "GristTemplatesTests", dependencies: ["GristCore", "GristTemplates", "TestSupport"]),
    .testTarget(
      name: "GristFamiliesTests",
      dependencies: ["GristCore", "GristFormat", "GristCheckpoints", "GristTemplates", "GristFamilies", "TestSupport"]),
    .testTarget(
      name: "GristQuantizationTests",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristCheckpoints", "GristFamilies", "GristQuantization",
        "TestSupport",
      ]),
    .testTarget(
      name: "GristConversionTests",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristCheckpoints", "GristFamilies", "GristQuantization",
        "GristConversion",
        "TestSupport",
      ]),
    .testTarget(
      name: "GristImagingTests",
      dependencies: [
        "GristCore", "GristImaging", "TestSupport", .product(name: "Crypto", package: "swift-crypto"),
      ]),
    .testTarget(
      name: "GristModelTests",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristCheckpoints", "GristFamilies", "GristQuantization",
        "GristConversion",
        "GristImaging", "GristModel", "TestSupport", .product(name: "Crypto", package: "swift-crypto"),
      ]),
    .testTarget(
      name: "GristCalibrationTests",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristCheckpoints", "GristFamilies", "GristQuantization",
        "GristImaging", "GristModel", "GristCalibration", "GristConversion", "GristVerification", "TestSupport",
      ]),
    .testTarget(
      name: "GristVerificationTests",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristCheckpoints", "GristFamilies", "GristQuantization",
        "GristConversion",
        "GristImaging", "GristModel", "GristVerification", "GristReports", "TestSupport",
      ]),
    .testTarget(
      name: "GristBenchmarkTests",
      dependencies: [
        "GristCore", "GristKernels", "GristFormat", "GristCheckpoints", "GristFamilies", "GristQuantization",
        "GristConversion",
        "GristModel", "GristBenchmark", "TestSupport",
      ]),
    .testTarget(
      name: "CommandTests", dependencies: ["GristCore", "GristCheckpoints", "TestSupport", "gristmill"],
      exclude: ["Snapshots"]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c17,
  cxxLanguageStandard: .cxx17
)
