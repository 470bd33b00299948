#if Redis
/// What the pipeline's stores in Redis have in common.
enum RedisKeyspace {
    // A number in them is the version of the layout; those before 2 had none.
    static let deduplication = "{mq:pipeline:2:dedup}"
    static let api = "{mq:pipeline:2:api}"
    static let collect = "{mq:pipeline:2:collect}"

    /// A function `less(a, b)` for scripts that compares bytes.
    ///
    /// Lua's own comparison follows the locale of the server.
    static let less = """
        local function less(a, b)
          local length = math.min(#a, #b)
          for i = 1, length do
            local x, y = string.byte(a, i), string.byte(b, i)
            if x ~= y then return x < y end
          end
          return #a < #b
        end

        """
}
#endif
