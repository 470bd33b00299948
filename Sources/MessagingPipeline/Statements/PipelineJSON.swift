import Foundation

/// JSON as every layer of the pipeline writes and reads it: the same value always gives the same bytes.
public enum PipelineJSON {
    /// Writes a value with sorted keys, unescaped slashes and dates as ISO 8601 strings in UTC.
    ///
    /// - Parameter value: The value to write.
    /// - Returns: The bytes of one line of JSON.
    /// - Throws: `EncodingError` when the value holds something JSON cannot express, such as a number that is not finite.
    public static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .custom { date, encoder in
            var container = encoder.singleValueContainer()
            try container.encode(StatementDate.string(from: date))
        }
        return Array(try encoder.encode(value))
    }

    /// Reads a value; a date may be in any notation of ``StatementDate/parse(_:)``.
    ///
    /// - Parameters:
    ///   - type: The type of the value.
    ///   - bytes: The JSON.
    /// - Returns: The value.
    /// - Throws: `DecodingError` when the bytes are not JSON, or not that of a value of this type.
    public static func decode<Value: Decodable>(
        _ type: Value.Type = Value.self,
        from bytes: some Sequence<UInt8>
    ) throws -> Value {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .custom { decoder in
            let container = try decoder.singleValueContainer()
            guard let date = StatementDate.parse(try container.decode(String.self)) else {
                throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a date")
            }
            return date
        }
        return try decoder.decode(type, from: Data(bytes))
    }
}
