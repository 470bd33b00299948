import ArgumentParser
import Messaging

/// Checks of arguments before a broker is asked.
enum Arguments {
    static func check(queue: String) throws {
        do { try NameRules.validate(queue: queue) } catch { throw ValidationError(error.message) }
    }

    static func check(group: String, queue: String) throws {
        do { try NameRules.validate(group: group, queue: queue) } catch { throw ValidationError(error.message) }
    }

    static func check(consumer: String, queue: String) throws {
        do { try NameRules.validate(consumer: consumer, queue: queue) } catch { throw ValidationError(error.message) }
    }
}
