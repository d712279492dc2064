/// The version of this toolkit, as `gristmill --version` prints it and files record it.
public let gristmillVersion = "0.1.0"
