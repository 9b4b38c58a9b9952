// A bar beside whose parts there is always text.
export interface Part {
  name: string; // also its class
  percent: number;
}

export function Meter({ label, text, parts }: { label: string; text: string; parts: Part[] }) {
  return (
    <div className="meter">
      <div className="meter-text">
        <span>{label}</span>
        <span className="number">{text}</span>
      </div>
      <div className="meter-bar" aria-hidden="true">
        {parts.map(({ name, percent }) => (
          <span key={name} className={name} style={{ width: `${percent}%` }} />
        ))}
      </div>
    </div>
  );
}
