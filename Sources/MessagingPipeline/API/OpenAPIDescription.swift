import NIOCore

/// The description of the service in OpenAPI 3.1, `openapi.json` beside this file.
enum OpenAPIDescription {
    /// The document.
    static let bytes = ByteBuffer(bytes: PackageResources.openapi_json)
}
