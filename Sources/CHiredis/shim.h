#ifndef SWIFT_MESSAGE_QUEUE_CHIREDIS_SHIM_H
#define SWIFT_MESSAGE_QUEUE_CHIREDIS_SHIM_H

#include <hiredis/hiredis.h>
#include <stddef.h>

/* What a reply is made of, in the order it is read: an array comes before its elements. */
typedef struct mq_reply_sink {
    void *context;
    void (*string)(void *context, int type, const char *bytes, size_t length);
    void (*array)(void *context, long long count);
    void (*integer)(void *context, long long value);
    void (*null)(void *context);
} mq_reply_sink;

/* hiredis asks for objects; it gets the sink as one that is never NULL, and the parts go to the sink. */
static inline void *mq_on_string(const redisReadTask *task, char *bytes, size_t length) {
    mq_reply_sink *sink = (mq_reply_sink *)task->privdata;
    sink->string(sink->context, task->type, bytes, length);
    return sink;
}

/* The type of the count changed with hiredis 1.0. */
#if HIREDIS_MAJOR >= 1
static inline void *mq_on_array(const redisReadTask *task, size_t count) {
#else
static inline void *mq_on_array(const redisReadTask *task, int count) {
#endif
    mq_reply_sink *sink = (mq_reply_sink *)task->privdata;
    sink->array(sink->context, (long long)count);
    return sink;
}

static inline void *mq_on_integer(const redisReadTask *task, long long value) {
    mq_reply_sink *sink = (mq_reply_sink *)task->privdata;
    sink->integer(sink->context, value);
    return sink;
}

static inline void *mq_on_null(const redisReadTask *task) {
    mq_reply_sink *sink = (mq_reply_sink *)task->privdata;
    sink->null(sink->context);
    return sink;
}

static inline void mq_on_free(void *object) { (void)object; }

static inline redisReader *mq_reader_create(mq_reply_sink *sink) {
    static redisReplyObjectFunctions functions;
    functions.createString = mq_on_string;
    functions.createArray = mq_on_array;
    functions.createInteger = mq_on_integer;
    functions.createNil = mq_on_null;
    functions.freeObject = mq_on_free;
    redisReader *reader = redisReaderCreateWithFunctions(&functions);
    if (reader != NULL) reader->privdata = sink;
    return reader;
}

/* 1: a whole reply was read, 0: more bytes are needed, -1: the bytes are no RESP. */
static inline int mq_reader_next(redisReader *reader) {
    void *reply = NULL;
    if (redisReaderGetReply(reader, &reply) != REDIS_OK) return -1;
    return reply != NULL ? 1 : 0;
}

static inline const char *mq_reader_error(redisReader *reader) { return reader->errstr; }

#endif
