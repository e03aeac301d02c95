// A beat after Uptime Kuma 2's design, written anew: the database is asked for maintenance of the monitor and for
// its parent; a request on a connection of its own; three rows of statistics brought up to date, old ones deleted,
// and a row for the beat. Each is a statement and a commit of its own, over the libraries that it is built on (axios,
// redbean-node, knex, SQLite with write-ahead log and synchronous = NORMAL). What shows and exports a beat is left
// out.
//
//     node kuma_point.mjs DATABASE URL MONITORS      each monitor once a second, evenly spread
//
// Prints how many beats there were, whenever a line comes in; ends with its input.

import { createRequire } from "node:module";
import http from "node:http";
import readline from "node:readline";

const require = createRequire(`${process.cwd()}/`);
const axios = require("axios");
const knex = require("knex");
const { R } = require("redbean-node");

const [file, url, monitors] = process.argv.slice(2);
const HOUR = 3600;
const STATISTICS = [
    { table: "stat_daily", step: 24 * HOUR },
    { table: "stat_hourly", step: HOUR, kept: 30 * 24 * HOUR },
    { table: "stat_minutely", step: 60, kept: 24 * HOUR },
];

const db = knex({
    client: "sqlite3",
    connection: { filename: file },
    useNullAsDefault: true,
    pool: { min: 1, max: 1 },
});
for (const setting of ["journal_mode = WAL", "synchronous = NORMAL", "cache_size = -12000"]) {
    await db.raw(`PRAGMA ${setting}`);
}
await db.schema.createTable("heartbeat", (table) => {
    table.increments("id");
    table.integer("monitor_id").notNullable();
    table.integer("status").notNullable();
    table.text("msg");
    table.datetime("time").notNullable();
    table.datetime("end_time");
    table.integer("ping");
    table.boolean("important").notNullable();
    table.integer("duration").notNullable();
    table.integer("retries").notNullable();
    table.index(["monitor_id", "time"]);
    table.index(["monitor_id", "important", "time"]);
    table.index("important");
});
await db.schema.createTable("monitor", (table) => {
    table.increments("id");
    table.integer("parent");
    table.integer("interval").notNullable();
});
await db.schema.createTable("monitor_maintenance", (table) => {
    table.increments("id");
    table.integer("monitor_id").notNullable().index();
    table.integer("maintenance_id").notNullable();
});
for (const { table } of STATISTICS) {
    await db.schema.createTable(table, (made) => {
        made.increments("id");
        made.integer("monitor_id").notNullable();
        made.integer("timestamp").notNullable();
        made.float("ping").notNullable();
        made.float("ping_min").notNullable();
        made.float("ping_max").notNullable();
        made.integer("up").notNullable();
        made.integer("down").notNullable();
        made.unique(["monitor_id", "timestamp"]);
    });
}

R.setup(db);
R.freeze(true);

let beats = 0;
const current = new Map(); // "table monitor" -> the statistics row that is open now

async function count(monitor, { table, step, kept }, now, ping) {
    const timestamp = Math.floor(now / 1000 / step) * step;
    const key = `${table} ${monitor}`;
    let row = current.get(key);
    if (row?.timestamp !== timestamp) {
        row = R.dispense(table);
        Object.assign(row, { monitor_id: monitor, timestamp, ping, ping_min: ping, ping_max: ping, up: 1, down: 0 });
        current.set(key, row);
    } else {
        row.up += 1;
        row.ping += (ping - row.ping) / row.up;
        row.ping_min = Math.min(row.ping_min, ping);
        row.ping_max = Math.max(row.ping_max, ping);
    }
    await R.store(row);
    return kept ? [table, timestamp - kept] : null;
}

async function beat(monitor) {
    const maintained = "SELECT maintenance_id FROM monitor_maintenance WHERE monitor_id = ?";
    if ((await R.getCol(maintained, [monitor])).length) return;
    if ((await R.getRow("SELECT parent FROM monitor WHERE id = ?", [monitor])).parent) return;
    const began = Date.now();
    const answer = await axios({ url, timeout: 5000, httpAgent: new http.Agent() });
    const text = typeof answer.data === "string" ? answer.data : JSON.stringify(answer.data);
    if (!text.includes("ok")) throw new Error(`not good: ${text}`);
    const now = Date.now();
    const old = [];
    for (const statistics of STATISTICS) old.push(await count(monitor, statistics, now, now - began));
    for (const [table, before] of old.filter(Boolean)) {
        await R.exec(`DELETE FROM ${table} WHERE monitor_id = ? AND timestamp < ?`, [monitor, before]);
    }
    await R.store(Object.assign(R.dispense("heartbeat"), {
        monitor_id: monitor,
        status: 1,
        msg: `${answer.status} - ${answer.statusText}`,
        time: new Date(began).toISOString(),
        end_time: new Date(now).toISOString(),
        ping: now - began,
        important: false,
        duration: 1,
        retries: 0,
    }));
    beats += 1;
}

for (let monitor = 1; monitor <= Number(monitors); monitor += 1) {
    await db("monitor").insert({ id: monitor, parent: null, interval: 1 });
    setTimeout(() => setInterval(beat, 1000, monitor), (1000 * monitor) / Number(monitors));
}
for await (const _ of readline.createInterface({ input: process.stdin })) console.log(beats);
process.exit(0);
