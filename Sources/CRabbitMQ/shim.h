#ifndef SWIFT_MESSAGE_QUEUE_CRABBITMQ_SHIM_H
#define SWIFT_MESSAGE_QUEUE_CRABBITMQ_SHIM_H

/* The headers moved into a folder of their own with 0.12. */
#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#include <rabbitmq-c/ssl_socket.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#endif

/* Ids of methods; macros with a cast in them do not reach Swift. */
enum mq_method {
    MQ_CONNECTION_CLOSE = 0x000A0032,
    MQ_CONNECTION_CLOSE_OK = 0x000A0033,
    MQ_CONNECTION_BLOCKED = 0x000A003C,
    MQ_CONNECTION_UNBLOCKED = 0x000A003D,
    MQ_CHANNEL_OPEN = 0x0014000A,
    MQ_CHANNEL_OPEN_OK = 0x0014000B,
    MQ_CHANNEL_CLOSE = 0x00140028,
    MQ_CHANNEL_CLOSE_OK = 0x00140029,
    MQ_EXCHANGE_DECLARE = 0x0028000A,
    MQ_EXCHANGE_DECLARE_OK = 0x0028000B,
    MQ_EXCHANGE_DELETE = 0x00280014,
    MQ_EXCHANGE_DELETE_OK = 0x00280015,
    MQ_EXCHANGE_BIND = 0x0028001E,
    MQ_EXCHANGE_BIND_OK = 0x0028001F,
    MQ_EXCHANGE_UNBIND = 0x00280028,
    MQ_EXCHANGE_UNBIND_OK = 0x00280033,
    MQ_QUEUE_DECLARE = 0x0032000A,
    MQ_QUEUE_DECLARE_OK = 0x0032000B,
    MQ_QUEUE_BIND = 0x00320014,
    MQ_QUEUE_BIND_OK = 0x00320015,
    MQ_QUEUE_DELETE = 0x00320028,
    MQ_QUEUE_DELETE_OK = 0x00320029,
    MQ_QUEUE_UNBIND = 0x00320032,
    MQ_QUEUE_UNBIND_OK = 0x00320033,
    MQ_BASIC_QOS = 0x003C000A,
    MQ_BASIC_QOS_OK = 0x003C000B,
    MQ_BASIC_CONSUME = 0x003C0014,
    MQ_BASIC_CONSUME_OK = 0x003C0015,
    MQ_BASIC_CANCEL = 0x003C001E,
    MQ_BASIC_CANCEL_OK = 0x003C001F,
    MQ_BASIC_RETURN = 0x003C0032,
    MQ_BASIC_DELIVER = 0x003C003C,
    MQ_BASIC_GET = 0x003C0046,
    MQ_BASIC_GET_OK = 0x003C0047,
    MQ_BASIC_GET_EMPTY = 0x003C0048,
    MQ_BASIC_ACK = 0x003C0050,
    MQ_BASIC_NACK = 0x003C0078,
    MQ_CONFIRM_SELECT = 0x0055000A,
    MQ_CONFIRM_SELECT_OK = 0x0055000B
};

/* As many channels a connection may have: one for each lane of a keyed queue, and one more. */
#define MQ_CHANNEL_MAX 65

/* Logs in with user and password. Announces what the library understands and librabbitmq does not say of itself; the
   broker then tells of alarms, of consumers that it cancels, and why it refuses a password. */
static inline amqp_rpc_reply_t mq_login(amqp_connection_state_t state, const char *vhost, int frame_max, int heartbeat,
                                        const char *name, const char *user, const char *password) {
    amqp_table_entry_t can[5];
    const char *names[5] = {"publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked",
                            "authentication_failure_close"};
    for (int index = 0; index < 5; index++) {
        can[index].key = amqp_cstring_bytes(names[index]);
        can[index].value.kind = AMQP_FIELD_KIND_BOOLEAN;
        can[index].value.value.boolean = 1;
    }
    amqp_table_entry_t entries[2];
    entries[0].key = amqp_cstring_bytes("capabilities");
    entries[0].value.kind = AMQP_FIELD_KIND_TABLE;
    entries[0].value.value.table.num_entries = 5;
    entries[0].value.value.table.entries = can;
    entries[1].key = amqp_cstring_bytes("connection_name");
    entries[1].value.kind = AMQP_FIELD_KIND_UTF8;
    entries[1].value.value.bytes = amqp_cstring_bytes(name);
    amqp_table_t properties = {2, entries};
    return amqp_login_with_properties(state, vhost, MQ_CHANNEL_MAX, frame_max, heartbeat, &properties, AMQP_SASL_METHOD_PLAIN, user,
                                      password);
}

#endif
